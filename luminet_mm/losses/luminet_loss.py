from typing import Optional

from torch import Tensor

from ..registry import MODELS
from .functional import luminet_loss
from .logit_loss import LogitLoss, check_positive


@MODELS.register_module()
class LuminetLoss(LogitLoss):
    """LumiNet: the student learns the teacher's perception of the batch.

    Published in `LumiNet: The Bright Side of Perceptual Knowledge Distillation
    <https://arxiv.org/abs/2310.03669>`_, Eqs. 3 and 4.

    Args:
        tau (float): Temperature of both softmaxes. Defaults to 1.0: perceptions
            have unit variance already, and the paper's Figure 4(c) finds the
            choice of little effect.
        loss_weight (float): Factor of the whole loss. The paper's ``alpha``
            enters squared: ``loss_weight = alpha ** 2``. Defaults to 1.0.
        eps (float): Added to each class's variance. Defaults to 1e-5.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.

    Raises:
        ValueError: If ``tau`` or ``eps`` is not above 0; and as
            :class:`LogitLoss`.
    """

    def __init__(
        self,
        tau: float = 1.0,
        loss_weight: float = 1.0,
        eps: float = 1e-5,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(loss_weight, reduction)
        check_positive(self, tau=tau, eps=eps)
        self.tau = tau
        self.eps = eps

    def divergence(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Optional[Tensor]
    ) -> Tensor:
        return luminet_loss(preds_S, preds_T, self.tau, self.eps)

    def extra_repr(self) -> str:
        return f'tau={self.tau}, eps={self.eps}, {super().extra_repr()}'
