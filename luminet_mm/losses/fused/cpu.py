"""The LumiNet loss in one operator on CPUs, if it was compiled when this was installed.

Its source is ``luminet_mm/losses/csrc``.
"""

import os.path as osp
import warnings
from glob import glob
from typing import Any, Optional

import torch
from torch import Tensor

from .operator import Operator


def find(name: str, *inputs: Any) -> Optional[Operator]:
    """An operator by its name, see :func:`luminet_mm.losses.fused.compute`."""
    return LUMINET if COMPILED and name == 'luminet' else None


def _forward(preds_S: Tensor, preds_T: Tensor, tau: float, eps: float) -> tuple:
    return torch.ops.luminet_mm.luminet_loss(preds_S, preds_T, tau, eps)


def _backward(
    grad: Tensor,
    preds_S: Tensor,
    difference: Tensor,
    statistics: Tensor,
    tau: float,
    eps: float,
) -> Tensor:
    return torch.ops.luminet_mm.luminet_loss_backward(
        grad, preds_S, difference, statistics, tau
    )


def _load() -> bool:
    """Load the operator; False where it was not compiled, or for another torch."""
    folder = osp.dirname(osp.dirname(osp.dirname(__file__)))
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


LUMINET = Operator(_forward, _backward)
COMPILED = _load()
