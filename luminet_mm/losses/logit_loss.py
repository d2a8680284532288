from abc import ABCMeta, abstractmethod
from typing import Optional, Union

from torch import Tensor, nn

REDUCTIONS = ('mean', 'sum', 'none')


class LogitLoss(nn.Module, metaclass=ABCMeta):
    """Base of the losses that compare two logit matrices row by row.

    A subclass gives one value per sample in :meth:`divergence`; checking,
    weighting and reduction happen here, in one place for all of them.

    Args:
        loss_weight (float): Factor of the whole loss. Defaults to 1.0.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.

    Raises:
        ValueError: For a negative ``loss_weight`` or an unknown ``reduction``.

    Attributes:
        compares (str): What it compares, an attribute of a distiller's rows.
    """

    compares = 'logits'

    def __init__(self, loss_weight: float = 1.0, reduction: str = 'mean') -> None:
        super().__init__()
        check_not_negative(self, loss_weight=loss_weight)
        if reduction not in REDUCTIONS:
            raise ValueError(
                f'{type(self).__name__}: reduction={reduction!r} is unknown, '
                f'it must be one of {REDUCTIONS}'
            )
        self.loss_weight = loss_weight
        self.reduction = reduction

    @abstractmethod
    def divergence(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Optional[Tensor]
    ) -> Tensor:
        """Distance of each sample's logits from the teacher's.

        Args:
            preds_S (Tensor): Student logits, shape (N, C).
            preds_T (Tensor): Teacher logits, shape (N, C), without gradient.
            gt_labels (Tensor, optional): Class indices, shape (N,).

        Returns:
            Tensor: One value per sample, shape (N,).
        """

    def forward(
        self,
        preds_S: Tensor,
        preds_T: Tensor,
        gt_labels: Optional[Tensor] = None,
        weight: Optional[Tensor] = None,
        avg_factor: Optional[float] = None,
    ) -> Tensor:
        """Compute the loss; one signature for mmdet, mmpretrain and mmrazor.

        Args:
            preds_S (Tensor): Student logits, shape (N, C). In a two-stage
                detector N is the number of RoIs in the batch and column C - 1
                is background.
            preds_T (Tensor): Teacher logits of the same samples, shape (N, C).
                No gradient flows into them.
            gt_labels (Tensor, optional): Class indices, shape (N,), for the
                losses that need them. Defaults to None.
            weight (Tensor, optional): Weight of each sample, shape (N,). A
                sample of weight 0 is ignored altogether: it does not enter
                statistics over the batch either. Defaults to None.
            avg_factor (float, optional): What 'mean' divides the sum by.
                Defaults to the number of samples that are not ignored.

        Returns:
            Tensor: A scalar, or shape (N,) with ``reduction='none'``; zero
            with a zero gradient where there is no sample.

        Raises:
            ValueError: If the two matrices do not have the same shape (N, C),
                or ``avg_factor`` is given with another reduction than 'mean'.
        """
        self._check(preds_S, preds_T, avg_factor)
        num_samples = len(preds_S)
        preds_T = preds_T.detach()
        if weight is not None:
            kept = weight.nonzero(as_tuple=True)[0]
            preds_S, preds_T, weight = preds_S[kept], preds_T[kept], weight[kept]
            gt_labels = None if gt_labels is None else gt_labels[kept]

        loss = self.divergence(preds_S, preds_T, gt_labels)
        if weight is not None:
            loss = loss * weight

        if self.reduction == 'none':
            loss = self.loss_weight * loss
            if weight is None:
                return loss
            return loss.new_zeros(num_samples).index_copy(0, kept, loss)
        if self.reduction == 'sum':
            return self.loss_weight * loss.sum()
        count = self.num_samples(loss) if avg_factor is None else avg_factor
        return self.loss_weight / count * loss.sum()

    def num_samples(self, loss: Tensor) -> Union[Tensor, int]:
        """What 'mean' divides by where no ``avg_factor`` is given.

        Args:
            loss (Tensor): One value per sample that is not ignored, shape (N,).

        Returns:
            Tensor | int: N, at least 1.
        """
        return max(len(loss), 1)

    def _check(
        self, preds_S: Tensor, preds_T: Tensor, avg_factor: Optional[float]
    ) -> None:
        if preds_S.dim() != 2 or preds_S.shape != preds_T.shape:
            raise ValueError(
                f'{type(self).__name__} compares two (samples, classes) matrices '
                f'of one shape, but the student gives {tuple(preds_S.shape)} and '
                f'the teacher {tuple(preds_T.shape)}'
            )
        if avg_factor is not None and self.reduction != 'mean':
            raise ValueError(
                f"{type(self).__name__}: avg_factor needs reduction='mean', "
                f'not {self.reduction!r}'
            )

    def extra_repr(self) -> str:
        return f'loss_weight={self.loss_weight}, reduction={self.reduction!r}'


def check_positive(owner: nn.Module, **values: float) -> None:
    """Raise a ValueError that names the first value that is not above zero."""
    for key, value in values.items():
        if not value > 0 or value == float('inf'):
            raise ValueError(
                f'{type(owner).__name__}: {key}={value} must be a finite number above 0'
            )


def check_not_negative(owner: nn.Module, **values: float) -> None:
    """Raise a ValueError that names the first value that is below zero."""
    for key, value in values.items():
        if not 0 <= value < float('inf'):
            raise ValueError(
                f'{type(owner).__name__}: {key}={value} must be a finite number of '
                'at least 0'
            )
