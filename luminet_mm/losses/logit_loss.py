import logging
from abc import ABCMeta, abstractmethod
from typing import Any, Optional, Set, Union

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ..checks import check_choice, check_number, key_of

REDUCTIONS = ('mean', 'sum', 'none')


class LogitLoss(nn.Module, metaclass=ABCMeta):
    """Base of the losses that compare two logit matrices row by row.

    A subclass gives one value per sample in :meth:`divergence`; checking,
    weighting and reduction happen here, in one place for all of them.

    Args:
        loss_weight (float): Factor of the whole loss. Defaults to 1.0.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.

    Raises:
        TypeError, ValueError: For a setting that cannot work, naming its config key,
            its value, and what would be right: here a negative ``loss_weight`` or an
            unknown ``reduction``.

    Attributes:
        compares (str): What it compares, an attribute of a distiller's rows.
        weighs_rows (bool): That ``weight`` is one for each row, as distillers give it.
    """

    compares = 'logits'
    weighs_rows = True

    def __init__(self, loss_weight: float = 1.0, reduction: str = 'mean') -> None:
        super().__init__()
        check_number(key_of(self, 'loss_weight'), loss_weight, at_least=0)
        check_choice(key_of(self, 'reduction'), reduction, REDUCTIONS)
        self.loss_weight = loss_weight
        self.reduction = reduction
        self._warned: Set[str] = set()
        self._looked = False

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
            TypeError: If the logits are no tensors of floating-point numbers, or
                ``gt_labels`` are no integers.
            ValueError: If the two matrices do not have the same shape (N, C) with C of
                at least 2, ``gt_labels`` or ``weight`` not the shape (N,), or
                ``avg_factor`` is not above 0 or given with another reduction than
                'mean'.
        """
        self._check(preds_S, preds_T, gt_labels, weight, avg_factor)
        self._look_once(preds_T)
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
        self,
        preds_S: Tensor,
        preds_T: Tensor,
        gt_labels: Optional[Tensor],
        weight: Optional[Tensor],
        avg_factor: Optional[float],
    ) -> None:
        name = type(self).__name__
        for who, preds in (('student', preds_S), ('teacher', preds_T)):
            if not (isinstance(preds, Tensor) and preds.is_floating_point()):
                raise TypeError(
                    f'{name} compares two (samples, classes) matrices of '
                    f'floating-point numbers, but the {who} gives {_describe(preds)}'
                )
        if preds_S.dim() != 2 or preds_S.shape != preds_T.shape:
            raise ValueError(
                f'{name} compares two (samples, classes) matrices of one shape, but '
                f'the student gives {tuple(preds_S.shape)} and the teacher '
                f'{tuple(preds_T.shape)}'
            )
        if preds_S.shape[1] < 2:
            raise ValueError(
                f'{name} compares how samples are shared out among classes, but the '
                f'logits have the shape {tuple(preds_S.shape)}: one class alone has '
                'nothing to be compared with, so its loss would always be 0'
            )
        for key, values in (('gt_labels', gt_labels), ('weight', weight)):
            if values is not None and (
                not isinstance(values, Tensor) or values.shape != preds_S.shape[:1]
            ):
                raise ValueError(
                    f'{name} needs one of {key} for each of {len(preds_S)} samples, '
                    f'shape ({len(preds_S)},), but is given {_describe(values)}'
                )
        if gt_labels is not None and len(gt_labels) and not _are_indices(gt_labels):
            raise TypeError(
                f'{name} needs class indices, integers, but gt_labels are '
                f'{_describe(gt_labels)}'
            )
        if avg_factor is not None and self.reduction != 'mean':
            raise ValueError(
                f"{name}: avg_factor needs reduction='mean', not {self.reduction!r}"
            )
        if avg_factor is not None and not isinstance(avg_factor, Tensor):
            check_number(f'{name}.avg_factor', avg_factor, above=0)

    def _look_once(self, preds_T: Tensor) -> None:
        """Look at the first batch's logits; each look has the CPU wait for a GPU."""
        if self._looked or self.compares != 'logits' or len(preds_T) < 2:
            return
        self._looked = True
        if not preds_T.float().square().isfinite().all():
            self._warn_once(
                "the teacher's logits of the first batch are not finite, or so large "
                'that their squares are not; check its weights and the pixels that it '
                'is given, or train without --amp'
            )
        if (preds_T == preds_T[:1]).all():
            self._warn_once(
                'the teacher gives every sample of the first batch the same logits, '
                'from which nothing can be learnt; check its weights and the pixels '
                'that it is given'
            )

    def _warn_once(self, text: str) -> None:
        """Log a warning that is not repeated as long as the loss lives."""
        if text not in self._warned:
            self._warned.add(text)
            print_log(
                f'{type(self).__name__}: {text}',
                logger='current',
                level=logging.WARNING,
            )

    def extra_repr(self) -> str:
        return f'loss_weight={self.loss_weight}, reduction={self.reduction!r}'


def _are_indices(labels: Tensor) -> bool:
    return not labels.is_floating_point() and labels.dtype != torch.bool


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f'{value.dtype} of shape {tuple(value.shape)}'
    return f'a {type(value).__name__}'
