"""Boxes of heads that predict at priors: what each regresses, in units of its own."""

from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from ...compat import is_instance
from .priors import at_chosen, by_level, is_head

# Sides of a box are measured in the size of the anchor that it is regressed from. A
# point has none: it counts as the smallest anchor that ATSS and GFL have at its stride.
POINT_SIZE = 8  # strides

CODERS = (
    'DeltaXYWHBBoxCoder',
    'LegacyDeltaXYWHBBoxCoder',
    'TBLRBBoxCoder',
    'DistancePointBBoxCoder',
)
# have a coder, and do not use it
OTHERWISE = ('FoveaHead', 'RepPointsHead', 'GuidedAnchorHead')


def problem_of_boxes(head: nn.Module) -> Optional[str]:
    """Why a head's boxes cannot be taken, or None."""
    if is_head(head, 'YOLOXHead', 'TOODHead'):
        return None
    coder = getattr(head, 'bbox_coder', None)
    known = any(is_instance(coder, 'mmdet.models.task_modules', c) for c in CODERS)
    if is_head(head, *OTHERWISE) or not known:
        return (
            f'regresses boxes in a way of its own (bbox_coder: {type(coder).__name__})'
        )
    return None


def has_sides(head: nn.Module) -> bool:
    """Whether a head predicts a distribution for each side of a box (GFL)."""
    return hasattr(head, 'integral')


def box_maps(output: Sequence[Any], head: nn.Module) -> List[Tensor]:
    """What a head regresses in the end, by level, shape (B, A * D, H, W), in training
    as in testing."""
    maps = list(output[-1 if is_head(head, 'VFNetHead') else 1])
    if head.training and _is_normalised(head):
        strides = head.prior_generator.strides
        maps = [level * stride[0] for level, stride in zip(maps, strides)]
    return maps


def corners(
    maps: List[Tensor],
    chosen: Tensor,
    head: nn.Module,
    zoom: Optional[Tensor] = None,
) -> Tensor:
    """The boxes that a head predicts at the chosen priors.

    Args:
        maps (list[Tensor]): What it regresses, by level, shape (B, A * D, H, W).
        chosen (Tensor): Which of its priors, shape (B, P), bool.
        head (nn.Module): The head.
        zoom (Tensor, optional): How many of its pixels one of the student's is, along
            x and y, of each image, shape (B, 2). Defaults to None, one.

    Returns:
        Tensor: x1, y1, x2, y2 in pixels of the student's input, shape (N, 4).
    """
    found = []
    for index, (values, place) in enumerate(by_level(maps, chosen, head)):
        boxes = _decode(head, values.float(), *_priors(head, index, maps, place))
        found.append(boxes if zoom is None else boxes / zoom[place[0]].repeat(1, 2))
    return torch.cat(found)


def units(maps: List[Tensor], chosen: Tensor, head: nn.Module) -> Tensor:
    """Centre, width and height of the chosen priors, shape (N, 4); see
    :func:`corners`."""
    taken = []
    for index, (_, place) in enumerate(by_level(maps, chosen, head)):
        priors, stride = _priors(head, index, maps, place)
        if priors.shape[1] == 4:
            center = (priors[:, :2] + priors[:, 2:]) / 2
            size = priors[:, 2:] - priors[:, :2]
        else:
            center, size = priors, (POINT_SIZE * stride).expand_as(priors)
        taken.append(torch.cat([center, size], dim=1))
    return torch.cat(taken)


def deltas(boxes: Tensor, priors: Tensor) -> Tensor:
    """The sides of boxes, seen from priors.

    Args:
        boxes (Tensor): Their :func:`corners`, shape (N, 4).
        priors (Tensor): Their :func:`units`, shape (N, 4).

    Returns:
        Tensor: Distances from the prior's centre to the left, upper, right and lower
        side, in widths and heights of the prior, shape (N, 4).
    """
    center, size = priors[:, :2], priors[:, 2:]
    before, after = center - boxes[:, :2], boxes[:, 2:] - center
    return torch.cat([before / size, after / size], dim=1)


def sides(maps: List[Tensor], chosen: Tensor, head: nn.Module) -> Tensor:
    """The logits by which a head of distributions says where each side is.

    Args:
        maps, chosen, head: See :func:`corners`.

    Returns:
        Tensor: Shape (4 N, bins): the four sides of a box, one after the other.
    """
    return at_chosen(maps, chosen, head).reshape(-1, head.reg_max + 1)


def _priors(
    head: nn.Module, index: int, maps: List[Tensor], place: Tuple[Tensor, ...]
) -> Tuple[Tensor, Tensor]:
    """Priors of a level at some places, corners of anchors or points, shape (N, 4) or
    (N, 2), and the level's stride, shape (2,)."""
    size, device = tuple(maps[index].shape[2:]), maps[index].device
    grid = head.prior_generator.single_level_grid_priors(
        size, index, torch.float32, device
    )
    _, y, x, prior = place
    stride = grid.new_tensor(head.prior_generator.strides[index])
    return grid.view(*size, -1, grid.shape[-1])[y, x, prior], stride


def _decode(head: nn.Module, values: Tensor, priors: Tensor, stride: Tensor) -> Tensor:
    """Corners in pixels, shape (N, 4), as the head finds them in testing."""
    if is_head(head, 'YOLOXHead'):
        priors = torch.cat([priors, stride.expand_as(priors)], dim=1)
        return head._bbox_decode(priors, values)
    if is_head(head, 'TOODHead'):  # has corners already
        return values * stride.repeat(2)
    if has_sides(head):
        values = head.integral(values) * stride[0]
        priors = (priors[:, :2] + priors[:, 2:]) / 2
    return head.bbox_coder.decode(priors, values)


def _is_normalised(head: nn.Module) -> bool:
    """Whether what a head regresses is in strides in training, in pixels in testing."""
    if is_head(head, 'AutoAssignHead'):
        return False
    return getattr(head, 'norm_on_bbox', is_head(head, 'CenterNetUpdateHead'))
