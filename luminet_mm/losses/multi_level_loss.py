from typing import Optional, Sequence

from torch import Tensor

from ..checks import check_number, check_type, key_of
from ..registry import MODELS
from .functional import multi_level_loss
from .logit_loss import LogitLoss


@MODELS.register_module()
class MultiLevelLoss(LogitLoss):
    """Multi-level logit distillation: instances, batch and classes aligned.

    Published in `Multi-level Logit Distillation
    <https://openaccess.thecvf.com/content/CVPR2023/html/Jin_Multi-Level_Logit_Distillation_CVPR_2023_paper.html>`_:
    the divergence of every sample, the relations of the samples of the batch and
    those of the classes, summed over several temperatures.

    The authors' code shows the student two views of every image, a plain one and one
    that is strongly augmented. Beside a cross-entropy of weight 0.1 for each view it
    adds, with weight 0.9 and at temperatures 2, 3, 4, 5 and 6,

    - half of all three terms of the plain view: a mask of the teacher's confidence is
      multiplied with terms that were reduced to one number before, so it selects
      nothing, and half of it is set (exactly half, if the batch is even and no two
      confidences are equal);
    - the whole divergence once more: the strong view's at 3, 4 and 5, the plain one's
      at 2 and 6.

    Where both views are one image, the divergence has therefore the weight 1.5 at
    every temperature, and the relations have 0.5: ``instance_weight=1.5,
    batch_weight=0.5, class_weight=0.5, loss_weight=0.9`` beside a cross-entropy of 0.2
    is then their loss exactly, and what ``configs/cifar100/*_mlkd*.py`` set. Two views
    take three of these losses, each of one ``view``, as in
    ``configs/cifar100/resnet32x4_resnet8x4_mlkd_two_views.py``. That is their loss,
    too; but there the student sees both views in one batch, of which its batch
    normalisation takes the statistics, and theirs sees one after the other.

    Args:
        taus (Sequence[float]): Temperatures to sum over. Defaults to 2, 3, 4, 5
            and 6, as in the authors' code.
        instance_weight (float): Weight of the divergence. Defaults to 1.0.
        batch_weight (float): Weight of the relations of samples. Defaults to 1.0.
        class_weight (float): Weight of the relations of classes. Defaults to 1.0.
        loss_weight (float): Factor of the whole loss. The authors take 0.9.
            Defaults to 1.0.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.
        view (int, optional): Which half of the rows is compared, 0 or 1, of batches
            that hold two views of each image, see
            :class:`luminet_mm.models.data_preprocessors.MultiViewDataPreprocessor`.
            Defaults to None, all rows.

    Raises:
        TypeError, ValueError: If ``taus`` is empty or one of them is not above 0, a
            weight is negative, or ``view`` is neither 0 nor 1; and as
            :class:`LogitLoss`. In ``forward``, for two views of an odd number of rows.
    """

    def __init__(
        self,
        taus: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0),
        instance_weight: float = 1.0,
        batch_weight: float = 1.0,
        class_weight: float = 1.0,
        loss_weight: float = 1.0,
        reduction: str = 'mean',
        view: Optional[int] = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        key, wanted = key_of(self, 'taus'), 'a list of at least one temperature'
        check_type(key, taus, Sequence, wanted)
        if not taus:
            raise ValueError(f'{key}={taus!r} must be {wanted}')
        for index, tau in enumerate(taus):
            check_number(f'{key}[{index}]', tau, above=0)
        check_number(key_of(self, 'instance_weight'), instance_weight, at_least=0)
        check_number(key_of(self, 'batch_weight'), batch_weight, at_least=0)
        check_number(key_of(self, 'class_weight'), class_weight, at_least=0)
        if view is not None:
            check_number(
                key_of(self, 'view'), view, at_least=0, at_most=1, integer=True
            )
        self.taus = tuple(taus)
        self.instance_weight = instance_weight
        self.batch_weight = batch_weight
        self.class_weight = class_weight
        self.view = view

    def forward(
        self,
        preds_S: Tensor,
        preds_T: Tensor,
        gt_labels: Optional[Tensor] = None,
        weight: Optional[Tensor] = None,
        avg_factor: Optional[float] = None,
    ) -> Tensor:
        """See :meth:`LogitLoss.forward`; N is half of the rows if ``view`` is set."""
        given = preds_S, preds_T, gt_labels, weight
        if self.view is not None:
            self._check(*given, avg_factor)
            half, rest = divmod(len(preds_S), 2)
            if rest:
                raise ValueError(
                    f'{type(self).__name__} with view={self.view} halves the rows, but '
                    f'there are {len(preds_S)}: it needs two views of each image'
                )
            own = slice(self.view * half, (self.view + 1) * half)
            given = tuple(rows if rows is None else rows[own] for rows in given)
        return super().forward(*given, avg_factor)

    def divergence(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Optional[Tensor]
    ) -> Tensor:
        return multi_level_loss(
            preds_S,
            preds_T,
            self.taus,
            self.instance_weight,
            self.batch_weight,
            self.class_weight,
        )

    def extra_repr(self) -> str:
        return (
            f'taus={self.taus}, instance_weight={self.instance_weight}, '
            f'batch_weight={self.batch_weight}, class_weight={self.class_weight}, '
            f'{super().extra_repr()}, view={self.view}'
        )
