"""The LumiNet loss in one operator, where one was compiled."""

import os.path as osp
import warnings
from glob import glob
from typing import Any, Callable, Optional, Tuple

import torch
from torch import Tensor


def fits(preds_S: Tensor, preds_T: Tensor) -> bool:
    """Whether :func:`luminet_loss` can take these matrices.

    It takes float32 on a CPU, if the operator was compiled when the project was
    installed, and has no gradient for a teacher.
    """
    return (
        COMPILED
        and not preds_T.requires_grad
        and all(
            z.device.type == 'cpu' and z.dtype == torch.float32
            for z in (preds_S, preds_T)
        )
    )


def luminet_loss(
    preds_S: Tensor,
    preds_T: Tensor,
    tau: float,
    eps: float,
    plain: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """As :func:`luminet_mm.losses.luminet_loss`.

    Args:
        preds_S (Tensor): Student logits, shape (N, C), float32 on a CPU.
        preds_T (Tensor): Teacher logits, shape (N, C), float32 on a CPU.
        tau (float): Temperature.
        eps (float): Added to each class's variance.
        plain (Callable): The same of the two matrices by torch's own operators, for a
            gradient that is differentiated again (``create_graph=True``).

    Returns:
        Tensor: One value per sample, shape (N,).
    """
    return _LuminetLoss.apply(
        preds_S.contiguous(), preds_T.contiguous(), tau, eps, plain
    )


class _LuminetLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        preds_S: Tensor,
        preds_T: Tensor,
        tau: float,
        eps: float,
        plain: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        loss, difference, statistics = torch.ops.luminet_mm.luminet_loss(
            preds_S, preds_T, tau, eps
        )
        ctx.save_for_backward(preds_S, preds_T, difference, statistics)
        ctx.tau, ctx.plain = tau, plain
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        preds_S, preds_T, difference, statistics = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            loss = ctx.plain(preds_S, preds_T)
            (grad_S,) = torch.autograd.grad(loss, preds_S, grad, create_graph=True)
        else:
            grad_S = torch.ops.luminet_mm.luminet_loss_backward(
                grad, preds_S, difference, statistics, ctx.tau
            )
        return grad_S, None, None, None, None


def _load() -> bool:
    """Load the operator; False where it was not compiled, or for another torch."""
    folder = osp.dirname(osp.dirname(__file__))
    release = '_'.join(torch.__version__.split('.')[:2])
    try:
        torch.ops.load_library(osp.join(folder, f'_C_torch{release}.so'))
    except OSError as error:
        if glob(osp.join(folder, '_C_torch*.so')):
            warnings.warn(
                "LumiNet's loss was compiled, but not for this torch "
                f'({torch.__version__}), so it is slower on a CPU; install luminet_mm '
                f'again with --no-build-isolation. {error}',
                stacklevel=2,
            )
        return False
    return True


COMPILED = _load()
