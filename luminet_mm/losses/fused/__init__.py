"""Losses of logits in few passes or launches, where a device has operators for them.

:mod:`.cpu` has a compiled operator, :mod:`.gpu` has kernels in Triton. The formulas of
``luminet_mm/losses/functional.py`` are what they are held to, and compute whatever no
operator takes.
"""

from typing import Any, Callable, Optional, Tuple

import torch
from torch import Tensor

from . import cpu, gpu
from .operator import Operator

try:  # torch 2.3 and newer
    from torch.compiler import is_compiling
except ImportError:
    is_compiling = getattr(torch._utils, 'is_compiling', lambda: False)

DEVICES = dict(cpu=cpu, cuda=gpu)
_is_transformed = getattr(torch._C, '_are_functorch_transforms_active', lambda: False)


def compute(
    name: str,
    plain: Callable[..., Tensor],
    preds_S: Tensor,
    preds_T: Tensor,
    *settings: Any,
) -> Tensor:
    """A loss by an operator of its device, or else by its formula.

    Operators take float32, have no gradient for a teacher, and are not for code that
    is traced: ``torch.compile`` and ``torch.func`` are given the formula.

    Args:
        name (str): The operator's.
        plain (Callable): The formula in torch's own operators, a function of
            ``preds_S``, ``preds_T`` and ``settings``.
        preds_S (Tensor): Student logits, shape (N, C).
        preds_T (Tensor): Teacher logits, shape (N, C).
        settings (Any): What else operator and formula are given.

    Returns:
        Tensor: One value per sample, shape (N,).
    """
    operator = None
    if _fits(preds_S, preds_T):
        device = DEVICES[preds_S.device.type]
        operator = device.find(name, plain, preds_S, preds_T, settings)
    if operator is None:
        return plain(preds_S, preds_T, *settings)
    return _Fused.apply(
        preds_S.contiguous(), preds_T.contiguous(), operator, plain, settings
    )


def _fits(preds_S: Tensor, preds_T: Tensor) -> bool:
    return (
        not _is_traced()
        and preds_S.device.type in DEVICES
        and preds_T.device == preds_S.device
        and preds_S.dtype == preds_T.dtype == torch.float32
        and not preds_T.requires_grad
    )


def _is_traced() -> bool:
    """Whether torch.compile or torch.func looks on, each in what has it of torch."""
    return is_compiling() or _is_transformed()


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        preds_S: Tensor,
        preds_T: Tensor,
        operator: Operator,
        plain: Callable[..., Tensor],
        settings: tuple,
    ) -> Tensor:
        loss, *kept = operator.forward(preds_S, preds_T, *settings)
        ctx.save_for_backward(preds_S, preds_T, *kept)
        ctx.operator, ctx.plain, ctx.settings = operator, plain, settings
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        preds_S, preds_T, *kept = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            loss = ctx.plain(preds_S, preds_T, *ctx.settings)
            (grad_S,) = torch.autograd.grad(loss, preds_S, grad, create_graph=True)
        else:
            grad_S = ctx.operator.backward(grad, preds_S, *kept, *ctx.settings)
        return grad_S, None, None, None, None
