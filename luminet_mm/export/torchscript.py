"""TorchScript files: how they are written, and how they are run to be checked."""

import json
from typing import Any, Callable, Dict, List, Optional

import torch
from torch import Tensor, nn

SUFFIX = '.pt'
METADATA = 'metadata.json'  # the name that torch.jit.load's _extra_files take


def check_installed() -> None:
    """TorchScript needs nothing but torch."""


def write(
    trace: torch.jit.ScriptModule,
    graph: nn.Module,
    images: Tensor,
    path: str,
    metadata: Dict[str, Any],
    is_dynamic: bool,
) -> None:
    """Write a trace; arguments as of :func:`luminet_mm.export.onnx.write`."""
    torch.jit.save(trace, path, _extra_files={METADATA: json.dumps(metadata)})


def load(path: str, score_thr: Optional[float] = None) -> Callable:
    """Make a file run; arguments as of :func:`luminet_mm.export.onnx.load`."""
    trace = torch.jit.load(path)
    if score_thr is not None:
        trace.score_thr.fill_(score_thr)

    @torch.no_grad()
    def run(images: Tensor) -> List[Tensor]:
        found = trace(images)
        return [found] if isinstance(found, Tensor) else list(found)

    return run
