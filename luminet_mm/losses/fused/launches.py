"""The operators that launch :mod:`.kernels`, by their names."""

from typing import Dict, Tuple

import torch
import triton
from torch import Tensor

from . import kernels
from .operator import Operator

TILE = 2048  # logits that a program of the rows holds at least
COLUMNS = dict(ROWS=256, COLS=16, num_warps=8)  # of a program that goes down columns


def _luminet(
    preds_S: Tensor, preds_T: Tensor, tau: float, eps: float
) -> Tuple[Tensor, ...]:
    N, C = preds_S.shape
    moments = preds_S.new_empty(4, C)
    kernels.column_moments[_column_grid(C)](
        preds_S, preds_T, moments, N, C, eps, **COLUMNS
    )
    return (*_divergences(preds_S, preds_T, moments, tau, 1.0), moments)


def _luminet_backward(
    grad: Tensor,
    preds_S: Tensor,
    difference: Tensor,
    moments: Tensor,
    tau: float,
    eps: float,
) -> Tensor:
    N, C = preds_S.shape
    grad_S = torch.empty_like(preds_S)
    kernels.perception_gradient[_column_grid(C)](
        grad, grad.stride(0), preds_S, difference, moments, grad_S, N, C, **COLUMNS
    )
    return grad_S


def _kd(preds_S: Tensor, preds_T: Tensor, tau: float) -> Tuple[Tensor, ...]:
    return _divergences(preds_S, preds_T, None, tau, tau**2)


def _dkd(
    preds_S: Tensor,
    preds_T: Tensor,
    gt_labels: Tensor,
    tau: float,
    alpha: float,
    beta: float,
) -> Tuple[Tensor, ...]:
    N, C = preds_S.shape
    loss, difference = preds_S.new_empty(N), torch.empty_like(preds_S)
    grid, tile = _rows(N, C)
    kernels.decoupled_divergences[grid](
        preds_S,
        preds_T,
        gt_labels.contiguous(),
        loss,
        difference,
        N,
        C,
        tau,
        alpha,
        beta,
        **tile,
    )
    return loss, difference


def _scale(grad: Tensor, preds_S: Tensor, difference: Tensor, *settings) -> Tensor:
    return grad[:, None] * difference


def _divergences(
    preds_S: Tensor, preds_T: Tensor, moments: Tensor, tau: float, factor: float
) -> Tuple[Tensor, Tensor]:
    N, C = preds_S.shape
    loss, difference = preds_S.new_empty(N), torch.empty_like(preds_S)
    grid, tile = _rows(N, C)
    kernels.row_divergences[grid](
        preds_S,
        preds_T,
        moments,
        loss,
        difference,
        N,
        C,
        tau,
        factor,
        STANDARDISED=moments is not None,
        **tile,
    )
    return loss, difference


def _rows(N: int, C: int) -> Tuple[tuple, Dict[str, int]]:
    """The programs that go over all rows, and the tile of each."""
    cols = triton.next_power_of_2(C)
    rows = max(1, TILE // cols)
    warps = min(max(4, rows * cols // 1024), 16)
    return (triton.cdiv(N, rows),), dict(ROWS=rows, COLS=cols, num_warps=warps)


def _column_grid(C: int) -> tuple:
    return (triton.cdiv(C, COLUMNS['COLS']),)


OPERATORS = dict(
    luminet=Operator(_luminet, _luminet_backward),
    kd=Operator(_kd, _scale),
    dkd=Operator(_dkd, _scale),
)
