from typing import Optional

from torch import Tensor

from ..checks import check_number, key_of
from ..registry import MODELS
from .functional import dist_loss
from .logit_loss import LogitLoss


@MODELS.register_module()
class DISTLoss(LogitLoss):
    """DIST: the student's predictions correlate with the teacher's.

    Published in `Knowledge Distillation from A Stronger Teacher
    <https://arxiv.org/abs/2205.10536>`_: Pearson's correlation over the classes
    of a sample (inter) and over the samples of a class (intra), with the factor
    ``tau ** 2`` of the authors' code.

    ``mmrazor.DISTLoss`` has the same value on an ordinary batch, but it is not a
    number for an empty one, computes in half precision where the logits come in
    half precision, and has gradients of 1e6 where all logits of a sample are
    equal, as after a zero initialisation of the classifier.

    Args:
        tau (float): Temperature of both softmaxes. Defaults to 1.0, the authors'
            choice on ImageNet; they take 4.0 on CIFAR-100.
        inter_loss_weight (float): Weight of the inter-class correlation, the
            paper's beta. Defaults to 1.0.
        intra_loss_weight (float): Weight of the intra-class correlation, the
            paper's gamma. Defaults to 1.0.
        loss_weight (float): Factor of the whole loss. Defaults to 1.0.
        eps (float): Added to the product of two norms. Defaults to 1e-8.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.

    Raises:
        TypeError, ValueError: If ``tau`` or ``eps`` is not above 0 or a weight is
            negative; and as :class:`LogitLoss`.
    """

    def __init__(
        self,
        tau: float = 1.0,
        inter_loss_weight: float = 1.0,
        intra_loss_weight: float = 1.0,
        loss_weight: float = 1.0,
        eps: float = 1e-8,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(loss_weight, reduction)
        check_number(key_of(self, 'tau'), tau, above=0)
        check_number(key_of(self, 'eps'), eps, above=0)
        check_number(key_of(self, 'inter_loss_weight'), inter_loss_weight, at_least=0)
        check_number(key_of(self, 'intra_loss_weight'), intra_loss_weight, at_least=0)
        self.tau = tau
        self.inter_loss_weight = inter_loss_weight
        self.intra_loss_weight = intra_loss_weight
        self.eps = eps

    def divergence(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Optional[Tensor]
    ) -> Tensor:
        return dist_loss(
            preds_S,
            preds_T,
            self.tau,
            self.inter_loss_weight,
            self.intra_loss_weight,
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f'tau={self.tau}, inter_loss_weight={self.inter_loss_weight}, '
            f'intra_loss_weight={self.intra_loss_weight}, eps={self.eps}, '
            f'{super().extra_repr()}'
        )
