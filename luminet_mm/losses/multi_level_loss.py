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

    This is the loss of one view of the batch. The authors' recipe is more than
    the loss: they also show the student a strongly augmented view of every image
    (cross-entropy and three of the five temperatures' divergences), and they
    train for 480 epochs where the benchmark has 240. Their code multiplies the
    terms of the plain view by masks of the teacher's confidence, but only after
    reducing them to one number, so that the masks select nothing: they halve the
    terms. The same is said here by ``batch_weight=0.5, class_weight=0.5``.

    Args:
        taus (Sequence[float]): Temperatures to sum over. Defaults to 2, 3, 4, 5
            and 6, as in the authors' code.
        instance_weight (float): Weight of the divergence. Defaults to 1.0.
        batch_weight (float): Weight of the relations of samples. Defaults to 1.0.
        class_weight (float): Weight of the relations of classes. Defaults to 1.0.
        loss_weight (float): Factor of the whole loss. The authors take 0.9 on
            CIFAR-100, beside a cross-entropy of weight 0.1. Defaults to 1.0.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.

    Raises:
        ValueError: If ``taus`` is empty or one of them is not above 0, or a
            weight is negative; and as :class:`LogitLoss`.
    """

    def __init__(
        self,
        taus: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0),
        instance_weight: float = 1.0,
        batch_weight: float = 1.0,
        class_weight: float = 1.0,
        loss_weight: float = 1.0,
        reduction: str = 'mean',
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
        self.taus = tuple(taus)
        self.instance_weight = instance_weight
        self.batch_weight = batch_weight
        self.class_weight = class_weight

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
            f'{super().extra_repr()}'
        )
