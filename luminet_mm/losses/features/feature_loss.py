from abc import ABCMeta, abstractmethod
from typing import Any, List, Optional, Sequence, Tuple

from torch import Tensor, nn

from ...checks import check_layers, check_number, key_of
from ..functional import widen

Layers = Sequence[Tuple[str, str]]


class FeatureLoss(nn.Module, metaclass=ABCMeta):
    """Base of the losses that compare features of student and teacher.

    A subclass gives one number in :meth:`distance`; modules that translate the
    student's features, its connectors, are made in :meth:`connect` and are its
    children: they are trained, wrapped and saved with the student.

    Args:
        layers (Sequence[tuple[str, str]], optional): Pairs of places in student and
            teacher, see :class:`luminet_mm.distillers.taps.Tap`; one that gives several
            features, as 'neck' or 'stages', stands for all of them. Defaults to None,
            the published choice of the subclass.
        loss_weight (float): Factor of the whole loss. Defaults to 1.0.

    Raises:
        TypeError, ValueError: For a setting that cannot work, naming its config key,
            its value, and what would be right.

    Attributes:
        default_layers (tuple[tuple[str, str], ...]): The published choice.
        dims (tuple[int, ...]): Numbers of axes that its features may have: 4 for maps
            (B, C, H, W), 2 for vectors (B, C).
        needs (tuple[str, ...]): What else :meth:`distance` is given by the distiller,
            as keyword arguments:

            - 'gt_labels': class index of each image, shape (B,), or None where labels
              are soft;
            - 'data_samples': the batch's data samples, list of B;
            - 'image_size': height and width in pixels of what the maps show, the images
              with as much padding as both models have;
            - 'rests': what follows the compared stages in student and teacher, two
              :class:`luminet_mm.distillers.rest.Rest`: ``rest(index, feature)`` gives
              the logits (B, C) that follow from the features of stage ``index``.
    """

    default_layers: Tuple[Tuple[str, str], ...] = ()
    dims: Tuple[int, ...] = (4,)
    needs: Tuple[str, ...] = ()

    def __init__(
        self, layers: Optional[Layers] = None, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        key = key_of(self, 'layers')
        layers = self.default_layers if layers is None else layers
        self.layers = check_layers(key, layers)
        self.key = key  # connectors are made when the place is left
        check_number(key_of(self, 'loss_weight'), loss_weight, at_least=0)
        self.loss_weight = loss_weight

    def connect(
        self, shapes_S: Sequence[Sequence[int]], shapes_T: Sequence[Sequence[int]]
    ) -> None:
        """Make the connectors; called once, before the optimizer is built.

        Args:
            shapes_S (Sequence[Sequence[int]]): Shape of each of the student's features
                for one small image, (1, C, H, W) or (1, C). Of H and W only the
                relation of student and teacher holds for the images of the run.
            shapes_T (Sequence[Sequence[int]]): The teacher's, as many.

        Raises:
            ValueError: If such features cannot be compared.
        """
        for who, shapes in (('student', shapes_S), ('teacher', shapes_T)):
            for shape in shapes:
                if len(shape) not in self.dims:
                    wanted = ' or '.join(
                        {2: 'vectors (B, C)', 4: 'maps (B, C, H, W)'}[n]
                        for n in self.dims
                    )
                    raise ValueError(
                        f'{self.key}={self.layers}: {type(self).__name__} compares '
                        f'{wanted}, but the {who} gives {tuple(shape)} there'
                    )

    def read_norms(self, norms: Sequence[Optional[nn.Module]]) -> None:  # noqa: B027
        """Read what the teacher's weights say, when they have been loaded.

        Args:
            norms (Sequence[nn.Module | None]): Of each of the teacher's features the
                batch normalisation that made it, or None where none is known.

        Raises:
            ValueError: If the loss needs one that is not there.
        """

    @abstractmethod
    def distance(
        self, feats_S: List[Tensor], feats_T: List[Tensor], **context: Any
    ) -> Tensor:
        """How far the student's features are from the teacher's.

        Args:
            feats_S (list[Tensor]): The student's, shape (B, C, H, W) or (B, C).
            feats_T (list[Tensor]): The teacher's, as many, float32 at least and without
                gradient.
            **context: What :attr:`needs` names.

        Returns:
            Tensor: A scalar, not weighted yet.
        """

    def forward(
        self, feats_S: List[Tensor], feats_T: List[Tensor], **context: Any
    ) -> Tensor:
        """Compute the loss.

        Args:
            feats_S (list[Tensor]): See :meth:`distance`.
            feats_T (list[Tensor]): See :meth:`distance`, of any precision. No gradient
                flows into them.
            **context: What :attr:`needs` names.

        Returns:
            Tensor: A scalar.
        """
        feats_T = [widen(feat.detach()) for feat in feats_T]
        return self.loss_weight * self.distance(feats_S, feats_T, **context)

    def extra_repr(self) -> str:
        return f'layers={self.layers}, loss_weight={self.loss_weight}'
