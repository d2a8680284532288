"""Losses of logits in one to three launches on GPUs, by kernels in Triton.

At the sizes of logits a GPU waits for launches, not for numbers, so fewer of them are
faster. Kernels are taken for a number of classes once they gave there what the formula
gives; where there is no Triton, or it fails, the formula goes on alone.
"""

import logging
from functools import lru_cache
from typing import Callable, Dict, Optional

import torch
from mmengine.logging import print_log
from torch import Tensor

from .operator import Operator

MAX_CLASSES = 16384  # of a row, which one program holds
MAX_LOGITS = 2**31 - 1  # that 32 bits can count
TOLERANCE = 1e-3  # of the proof, to the largest value: exponentials are rounded
ROUNDING = 1e-5  # of a gradient that is zero where a student is its teacher

_proven: Dict[tuple, bool] = {}


def find(
    name: str,
    plain: Callable[..., Tensor],
    preds_S: Tensor,
    preds_T: Tensor,
    settings: tuple,
) -> Optional[Operator]:
    """An operator by its name, see :func:`luminet_mm.losses.fused.compute`."""
    operator = _operators().get(name)
    if (
        operator is None
        or preds_S.shape != preds_T.shape
        or not 0 < preds_S.numel() <= MAX_LOGITS
        or preds_S.shape[1] > MAX_CLASSES
        or preds_S.is_cuda
        and preds_S.get_device() != torch.cuda.current_device()
    ):
        return None
    key = name, preds_S.shape[1], preds_S.device
    if key not in _proven:
        if preds_S.is_cuda and torch.cuda.is_current_stream_capturing():
            return None  # the proof waits for the GPU, which would end the capture
        if not all(bool(preds.isfinite().all()) for preds in (preds_S, preds_T)):
            return None  # such numbers prove nothing
        why = _look_for_fault(operator, plain, preds_S, preds_T, settings)
        _proven[key] = why is None
        if why:
            print_log(
                f'The loss {name!r} of {preds_S.shape[1]} classes is computed without '
                f'the kernels for GPUs, which is slower: {why}',
                logger='current',
                level=logging.WARNING,
            )
    return operator if _proven[key] else None


@lru_cache(maxsize=None)
def _operators() -> Dict[str, Operator]:
    """Operators by the names of their formulas; none for a GPU that is not NVIDIA's."""
    if torch.version.hip:
        return {}
    try:
        from .launches import OPERATORS
    except ImportError:
        return {}
    return OPERATORS


def _look_for_fault(
    operator: Operator,
    plain: Callable[..., Tensor],
    preds_S: Tensor,
    preds_T: Tensor,
    settings: tuple,
) -> Optional[str]:
    """Why an operator does not give the formula's values and gradient, if so."""
    preds_S, preds_T = preds_S.detach().contiguous(), preds_T.contiguous()
    try:
        with torch.enable_grad():
            leaf = preds_S.clone().requires_grad_()
            loss = plain(leaf, preds_T, *settings)
            grad = torch.linspace(1, 2, len(loss), device=loss.device)
            (grad_S,) = torch.autograd.grad(loss, leaf, grad)
        values, *kept = operator.forward(preds_S, preds_T, *settings)
        got_S = operator.backward(grad, preds_S, *kept, *settings)
        if not (_close(values, loss.detach()) and _close(got_S, grad_S)):
            return 'they give other numbers'
    except Exception as error:  # whatever a compiler raises
        return f'{type(error).__name__}: {error}'
    return None


def _close(got: Tensor, expected: Tensor) -> bool:
    allowed = TOLERANCE * expected.abs().max() + ROUNDING
    return bool(((got - expected).abs() <= allowed).all())
