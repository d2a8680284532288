from typing import Optional

from torch import Tensor

from ..checks import check_number, key_of
from ..registry import MODELS
from .functional import kd_loss
from .logit_loss import LogitLoss


@MODELS.register_module()
class KDLoss(LogitLoss):
    """Classical knowledge distillation by softened class distributions.

    Published in `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_, with its factor ``tau ** 2``.

    Args:
        tau (float): Temperature of both softmaxes. Defaults to 4.0, the usual
            choice on CIFAR-100.
        loss_weight (float): Factor of the whole loss. Defaults to 1.0.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.

    Raises:
        TypeError, ValueError: If ``tau`` is not above 0; and as :class:`LogitLoss`.
    """

    def __init__(
        self, tau: float = 4.0, loss_weight: float = 1.0, reduction: str = 'mean'
    ) -> None:
        super().__init__(loss_weight, reduction)
        check_number(key_of(self, 'tau'), tau, above=0)
        self.tau = tau

    def divergence(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Optional[Tensor]
    ) -> Tensor:
        return kd_loss(preds_S, preds_T, self.tau)

    def extra_repr(self) -> str:
        return f'tau={self.tau}, {super().extra_repr()}'
