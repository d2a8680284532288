"""A frozen model that predicts the same, faster."""

import copy
from typing import Any

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.model import BaseModel
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_map


def accelerate(model: BaseModel, channels_last: bool) -> BaseModel:
    """Copy a model in eval mode and make the copy faster.

    Its backbone and neck are copied, and batch normalisation is folded into the
    convolution before it there; heads are the model's own. Where a model does not run
    its layers in the order in which it names them, that is wrong, so compare the
    features that the copy extracts with the model's.

    Args:
        model (BaseModel): A classifier or detector with ``backbone`` and, maybe,
            ``neck``.
        channels_last (bool): Whether the two compute with the channels of a pixel side
            by side, as convolutions on a CPU prefer. What they give is in the usual
            order again, which operators such as RoIAlign rely on.

    Returns:
        BaseModel: The copy.
    """
    faster = copy.copy(model)
    faster._modules = dict(model._modules)
    for name in ('backbone', 'neck'):
        part = copy.deepcopy(getattr(model, name, None))
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
    return faster


def _can_be_folded(module: nn.Module) -> bool:
    return not isinstance(module, _BatchNorm) or (
        module.affine and module.track_running_stats
    )


def _to_usual_order(module: nn.Module, args: Any, output: Any) -> Any:
    return tree_map(
        lambda out: out.contiguous() if isinstance(out, torch.Tensor) else out, output
    )
