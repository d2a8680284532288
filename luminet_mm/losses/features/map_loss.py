from typing import List, Sequence, Tuple

from torch import Tensor, nn

from ..functional import widen
from .feature_loss import FeatureLoss


class MapLoss(FeatureLoss):
    """Base of the losses that compare two maps position by position.

    Each level has a connector of its own, which brings the student's map to the
    teacher's channels: a 1x1 convolution where they differ, nothing where they agree.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`.
        loss_weight (float): See :class:`FeatureLoss`.

    Raises:
        TypeError, ValueError: As :class:`FeatureLoss`.

    Attributes:
        connectors (ModuleList): Of each level, made in :meth:`connect`.
    """

    def connect(
        self, shapes_S: Sequence[Sequence[int]], shapes_T: Sequence[Sequence[int]]
    ) -> None:
        """See :meth:`FeatureLoss.connect`.

        Raises:
            ValueError: Also if the two maps of a pair are of different levels, or of
                images of different sizes.
        """
        super().connect(shapes_S, shapes_T)
        for shape_S, shape_T in zip(shapes_S, shapes_T):
            for sizes in zip(shape_S[2:], shape_T[2:]):
                if max(sizes) >= 2 * min(sizes):
                    raise self._of_other_levels(shape_S, shape_T)
            self._check_sizes(shape_S, shape_T)
        self.connectors = nn.ModuleList(
            self.connector(shape_S[1], shape_T[1])
            for shape_S, shape_T in zip(shapes_S, shapes_T)
        )

    def connector(self, channels_S: int, channels_T: int) -> nn.Module:
        """Make the connector of one level.

        Args:
            channels_S (int): Of the student's map.
            channels_T (int): Of the teacher's.

        Returns:
            Module: From (B, channels_S, H, W) to (B, channels_T, H, W).
        """
        if channels_S == channels_T:
            return nn.Identity()
        return nn.Conv2d(channels_S, channels_T, 1)

    def pairs(
        self, feats_S: List[Tensor], feats_T: List[Tensor]
    ) -> List[Tuple[Tensor, Tensor]]:
        """Bring the two maps of each level to one shape.

        Args:
            feats_S (list[Tensor]): The student's, shape (B, C_S, H_S, W_S).
            feats_T (list[Tensor]): The teacher's, shape (B, C, H_T, W_T).

        Returns:
            list[tuple[Tensor, Tensor]]: Both of shape (B, C, H, W), the student's after
            its connector; float32 at least.
        """
        for feat_S, feat_T in zip(feats_S, feats_T):
            self._check_sizes(feat_S.shape, feat_T.shape)
        return [
            crop_to_smaller(widen(connector(feat_S)), feat_T)
            for connector, feat_S, feat_T in zip(self.connectors, feats_S, feats_T)
        ]

    def _check_sizes(self, shape_S: Sequence[int], shape_T: Sequence[int]) -> None:
        for sizes in zip(shape_S[2:], shape_T[2:]):
            if max(sizes) - min(sizes) > 1:  # the padding of images can cut one
                raise self._of_other_levels(shape_S, shape_T)

    def _of_other_levels(
        self, shape_S: Sequence[int], shape_T: Sequence[int]
    ) -> ValueError:
        return ValueError(
            f'{self.key}={self.layers} pairs maps of different levels: the student '
            f'gives {tuple(shape_S)} and the teacher {tuple(shape_T)}; both must have '
            'the same stride, which model.teacher.scale and size change'
        )


def crop_to_smaller(feat_S: Tensor, feat_T: Tensor) -> Tuple[Tensor, Tensor]:
    """The part of the image that two maps of one level have in common.

    The padding of images, at the right and at the bottom, can cut a cell, so positions
    correspond from the upper left corner on.

    Args:
        feat_S (Tensor): The student's, shape (B, C, H_S, W_S).
        feat_T (Tensor): The teacher's, shape (B, C, H_T, W_T).

    Returns:
        tuple[Tensor, Tensor]: The two, shape (B, C, min(H_S, H_T), min(W_S, W_T)).
    """
    height, width = (min(sizes) for sizes in zip(feat_S.shape[2:], feat_T.shape[2:]))
    return feat_S[:, :, :height, :width], feat_T[:, :, :height, :width]
