"""A frozen model that predicts the same, faster."""

import copy
import logging
from contextlib import contextmanager
from statistics import median
from typing import Any, Callable, Dict, Iterator

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_map

from ..compat import is_instance
from .stopwatch import Stopwatch

EXTRACTORS = ('backbone', 'neck')


def accelerate(model: BaseModel, channels_last: bool) -> BaseModel:
    """Copy a model in eval mode and make the copy faster.

    Batch normalisation of its backbone and neck is folded into the convolution before
    it. Where a model does not run its layers in the order in which it names them, that
    is wrong, so compare the features that the copy extracts with the model's. Heads
    keep the model's own weights. On a CPU RoIs are cut out by torchvision's RoIAlign,
    which gives the same numbers in half the time of mmcv's there.

    Args:
        model (BaseModel): A classifier or detector with ``backbone`` and, maybe,
            ``neck``.
        channels_last (bool): Whether the channels of a pixel lie side by side in
            backbone and neck, as CPUs prefer it and most GPUs. What these give is in
            the usual order again, which operators such as mmcv's RoIAlign rely on.

    Returns:
        BaseModel: The copy.
    """
    heads = (part for name, part in model.named_children() if name not in EXTRACTORS)
    weights = (each for head in heads for each in (*head.parameters(), *head.buffers()))
    faster = copy.deepcopy(model, {id(weight): weight for weight in weights})
    for name in EXTRACTORS:
        part = getattr(faster, name, None)
        if part is None:
            continue
        if all(_can_be_folded(module) for module in part.modules()):
            part = fuse_conv_bn(part)
        part.eval()
        part.requires_grad_(False)  # what was folded is new
        if channels_last:
            part.to(memory_format=torch.channels_last)
        setattr(faster, name, part)
        last = part
    if channels_last:
        last.register_forward_hook(_to_usual_order)
    if next(model.parameters()).device.type == 'cpu':
        for module in faster.modules():
            if is_instance(module, 'mmcv.ops', 'RoIAlign'):
                # torchvision knows the average of a bin's samples only
                module.use_torchvision |= module.pool_mode == 'avg'
    return faster


def fastest(
    models: Dict[str, BaseModel],
    run: Callable[[BaseModel], Any],
    device: torch.device,
) -> str:
    """Which of several models that do the same takes the least time.

    Args:
        models (dict[str, BaseModel]): They take turns, so that what else the device
            does meets them alike.
        run (Callable): What is timed, of a model.
        device (torch.device): Where it computes.

    Returns:
        str: The name of the smallest median of five runs, after one more that is not
        counted, in which libraries choose their algorithms.
    """
    if len(models) == 1:
        return next(iter(models))
    watches = {name: [Stopwatch() for _ in range(6)] for name in models}
    for turn in range(6):
        for name, model in models.items():
            watch = watches[name][turn]
            watch.start(device)
            run(model)
            watch.stop()
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    medians = {
        name: median(watch.read() for watch in each[1:])
        for name, each in watches.items()
    }
    return min(medians, key=medians.get)


def compile_extractors(model: BaseModel) -> Callable[[], None]:
    """Give backbone and neck of a model to ``torch.compile``, in place.

    Where compiling fails, at the first image or at one of another size, the log says
    why, and that part runs as it is from then on.

    Args:
        model (BaseModel): A classifier or detector in eval mode.

    Returns:
        Callable: What undoes it.
    """
    parts = [getattr(model, name, None) for name in EXTRACTORS]
    parts = [part for part in parts if part is not None]
    for part in parts:
        part.forward = _compiled_or_plain(part)

    def undo() -> None:
        for part in parts:
            del part.forward

    return undo


def _compiled_or_plain(part: nn.Module) -> Callable:
    plain = part.forward
    forward = None

    def run(*args: Any, **kwargs: Any) -> Any:
        nonlocal forward
        if forward is not plain:
            try:
                forward = forward or torch.compile(plain)
                return forward(*args, **kwargs)
            except Exception as error:  # whatever a compiler raises
                forward = plain
                print_log(
                    f'The {type(part).__name__} of the teacher is not compiled: '
                    f'{type(error).__name__}: {error}',
                    logger='current',
                    level=logging.WARNING,
                )
        return plain(*args, **kwargs)

    return run


@contextmanager
def full_precision() -> Iterator[None]:
    """Without TF32, whose rounding on GPUs is larger than what a comparison is for."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def _can_be_folded(module: nn.Module) -> bool:
    return not isinstance(module, _BatchNorm) or (
        module.affine and module.track_running_stats
    )


def _to_usual_order(module: nn.Module, args: Any, output: Any) -> Any:
    return tree_map(
        lambda out: out.contiguous() if isinstance(out, torch.Tensor) else out, output
    )
