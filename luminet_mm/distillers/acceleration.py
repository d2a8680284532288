"""A frozen model that predicts the same, faster."""

import copy
from contextlib import contextmanager
from typing import Any, Iterator

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.model import BaseModel
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_map

from ..compat import is_instance

EXTRACTORS = ('backbone', 'neck')


def accelerate(model: BaseModel, for_cpu: bool) -> BaseModel:
    """Copy a model in eval mode and make the copy faster.

    Batch normalisation of its backbone and neck is folded into the convolution before
    it. Where a model does not run its layers in the order in which it names them, that
    is wrong, so compare the features that the copy extracts with the model's. Heads
    keep the model's own weights.

    Args:
        model (BaseModel): A classifier or detector with ``backbone`` and, maybe,
            ``neck``.
        for_cpu (bool): Whether the copy computes as a CPU prefers it. The channels of a
            pixel lie side by side in backbone and neck; what these give is in the
            usual order again, which operators such as mmcv's RoIAlign rely on. RoIs
            are cut out by torchvision's RoIAlign, which gives the same numbers in half
            the time of mmcv's there.

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
        if for_cpu:
            part.to(memory_format=torch.channels_last)
        setattr(faster, name, part)
        last = part
    if for_cpu:
        last.register_forward_hook(_to_usual_order)
        for module in faster.modules():
            if is_instance(module, 'mmcv.ops', 'RoIAlign'):
                # torchvision knows the average of a bin's samples only
                module.use_torchvision |= module.pool_mode == 'avg'
    return faster


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
