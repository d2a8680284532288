from typing import Optional

from torch import Tensor

from ..checks import check_number, key_of
from ..registry import MODELS
from .functional import logit_standardization_loss
from .logit_loss import LogitLoss


@MODELS.register_module()
class LogitStandardizationLoss(LogitLoss):
    """Knowledge distillation after standardising the logits of each sample.

    Published in `Logit Standardization in Knowledge Distillation
    <https://arxiv.org/abs/2403.01427>`_. Where LumiNet
    standardises each class over the batch, this standardises each sample over
    the classes.

    Args:
        tau (float): Temperature of both softmaxes, the paper's base temperature.
            Defaults to 2.0, the authors' choice.
        loss_weight (float): Factor of the whole loss. The authors take 9.0 on
            CIFAR-100, beside a cross-entropy of weight 0.1. Defaults to 1.0.
        eps (float): Added to each sample's standard deviation. Defaults to 1e-7, the
            authors'.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.

    Raises:
        TypeError, ValueError: If ``tau`` or ``eps`` is not above 0; and as
            :class:`LogitLoss`.
    """

    def __init__(
        self,
        tau: float = 2.0,
        loss_weight: float = 1.0,
        eps: float = 1e-7,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(loss_weight, reduction)
        check_number(key_of(self, 'tau'), tau, above=0)
        check_number(key_of(self, 'eps'), eps, above=0)
        self.tau = tau
        self.eps = eps

    def divergence(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Optional[Tensor]
    ) -> Tensor:
        return logit_standardization_loss(preds_S, preds_T, self.tau, self.eps)

    def extra_repr(self) -> str:
        return f'tau={self.tau}, eps={self.eps}, {super().extra_repr()}'
