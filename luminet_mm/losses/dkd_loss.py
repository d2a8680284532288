from typing import Optional

import torch
from torch import Tensor

from ..checks import check_number, key_of
from ..registry import MODELS
from .functional import dkd_loss
from .logit_loss import LogitLoss


@MODELS.register_module()
class DKDLoss(LogitLoss):
    """Decoupled knowledge distillation: target class and the rest, each weighted.

    Published in `Decoupled Knowledge Distillation
    <https://arxiv.org/abs/2203.08679>`_, Eq. 7, with the factor ``tau ** 2``.

    Needs labels. In a two-stage detector a row is an RoI and the background,
    column C - 1, is the target class of the RoIs that match no object.

    Args:
        tau (float): Temperature. Defaults to 4.0, the authors' choice on
            CIFAR-100; they take 1.0 on ImageNet.
        alpha (float): Weight of the target class's term. Defaults to 1.0, the
            authors' choice everywhere.
        beta (float): Weight of the other classes' term, the one to tune: the
            more confident the teacher, the larger. Defaults to 8.0, the authors'
            for ResNet32x4 teachers on CIFAR-100; they take 2.0 for ResNet-56 and
            ResNet-110, 6.0 for VGG-13, and 0.5 to 2.0 on ImageNet.
        loss_weight (float): Factor of the whole loss. Defaults to 1.0.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.

    Raises:
        TypeError, ValueError: If ``tau`` is not above 0 or ``alpha`` or ``beta`` is
            negative; and as :class:`LogitLoss`. In ``forward``, for samples without
            labels and, on a CPU, for labels that are not below C. A check on a GPU
            would have the CPU wait in each step: there the loss of those is not a
            number, or torch's kernel stops for them, as in a cross-entropy.
    """

    def __init__(
        self,
        tau: float = 4.0,
        alpha: float = 1.0,
        beta: float = 8.0,
        loss_weight: float = 1.0,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(loss_weight, reduction)
        check_number(key_of(self, 'tau'), tau, above=0)
        check_number(key_of(self, 'alpha'), alpha, at_least=0)
        check_number(key_of(self, 'beta'), beta, at_least=0)
        self.tau = tau
        self.alpha = alpha
        self.beta = beta

    def divergence(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Optional[Tensor]
    ) -> Tensor:
        name, num_classes = type(self).__name__, preds_S.shape[1]
        if len(preds_S) == 0:  # nobody asked for labels, see mmdet's BBoxHead.loss
            gt_labels = preds_S.new_zeros(0, dtype=torch.long)
        if gt_labels is None:
            raise ValueError(
                f'{name} needs the class index of each sample, but gt_labels is None: '
                'soft labels (mixup, CutMix) and the anchors of an RPN have none'
            )
        if gt_labels.device.type == 'cpu' and len(gt_labels):
            low, high = gt_labels.min().item(), gt_labels.max().item()
            if low < 0 or high >= num_classes:
                raise ValueError(
                    f'{name} is given gt_labels from {low} to {high}, but there are '
                    f'{num_classes} columns of logits: labels must be from 0 to '
                    f'{num_classes - 1}; give samples without a class the weight 0'
                )
        return dkd_loss(preds_S, preds_T, gt_labels, self.tau, self.alpha, self.beta)

    def extra_repr(self) -> str:
        return (
            f'tau={self.tau}, alpha={self.alpha}, beta={self.beta}, '
            f'{super().extra_repr()}'
        )
