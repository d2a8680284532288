"""Classification maps of heads that predict at priors: anchors, or points.

Maps are by level, shape (B, A * C, H, W) with A priors at each location and C the
head's ``cls_out_channels``; P is the number of an image's priors on all levels.
"""

from typing import List

import torch
from torch import Tensor, nn


def check_heads(head_S: nn.Module, head_T: nn.Module, key_S: str, key_T: str) -> None:
    """Check that the priors of two heads correspond one by one.

    Raises:
        ValueError: If they do not, naming the config keys and what differs.
    """
    for what, value_S, value_T in (
        ('num_classes', head_S.num_classes, head_T.num_classes),
        ('use_sigmoid_cls', _is_sigmoid(head_S), _is_sigmoid(head_T)),
        ('strides of the levels', _strides(head_S), _strides(head_T)),
        ('priors at each location', _priors(head_S), _priors(head_T)),
    ):
        if value_S != value_T:
            raise ValueError(
                f'{what}: {value_S} of the student ({key_S}) and {value_T} of the '
                f'teacher ({key_T}), they must be the same for their classification '
                'maps to be comparable'
            )


def check_maps(maps_S: List[Tensor], maps_T: List[Tensor]) -> None:
    """Check that the maps of two models have the same shapes.

    Raises:
        ValueError: If the two were given images of different sizes.
    """
    shapes_S, shapes_T = ([tuple(m.shape) for m in ms] for ms in (maps_S, maps_T))
    if shapes_S != shapes_T:
        raise ValueError(
            f'the classification maps of the student have the shapes {shapes_S}, '
            f'those of the teacher {shapes_T}; give both models the same '
            'data_preprocessor.pad_size_divisor'
        )


def num_priors(maps: List[Tensor], channels: int) -> List[int]:
    """Priors of an image by level."""
    return [level[0].numel() // channels for level in maps]


def confidence(maps: List[Tensor], head: nn.Module) -> Tensor:
    """Logit of the most likely class at each prior, shape (B, P)."""
    best = []
    for level in maps:
        classes = level.unflatten(1, (-1, head.cls_out_channels))
        if not _is_sigmoid(head):
            classes = classes.log_softmax(dim=2)[:, :, : head.num_classes]
        # (B, A, H, W) to the order of upstream's losses: location, then anchor
        best.append(classes.amax(dim=2).permute(0, 2, 3, 1).flatten(1))
    return torch.cat(best, dim=1)


def highest(score: Tensor, num: int) -> Tensor:
    """A mask of the ``num`` highest of each row, or all; shape (B, P)."""
    top = score.topk(min(num, score.shape[1]), dim=1).indices
    return torch.zeros_like(score, dtype=torch.bool).scatter_(1, top, True)


def take(maps: List[Tensor], chosen: Tensor, head: nn.Module) -> Tensor:
    """Logits of the chosen priors, level by level, shape (N, C), background last."""
    taken = []
    sizes = num_priors(maps, head.cls_out_channels)
    for level, mask in zip(maps, chosen.split(sizes, dim=1)):
        classes = level.unflatten(1, (-1, head.cls_out_channels))
        mask = mask.view(len(level), *level.shape[2:], classes.shape[1])
        image, y, x, prior = mask.nonzero(as_tuple=True)
        taken.append(classes[image, prior, :, y, x])
    logits = torch.cat(taken)
    if _is_sigmoid(head):
        logits = torch.cat([logits, logits.new_zeros(len(logits), 1)], dim=1)
    return logits


def _is_sigmoid(head: nn.Module) -> bool:
    return head.cls_out_channels == head.num_classes


def _strides(head: nn.Module) -> list:
    return [tuple(stride) for stride in head.prior_generator.strides]


def _priors(head: nn.Module) -> list:
    """Boxes of the anchors of a location by level, where there are several: one prior
    is a location, whatever size its head gives it."""
    generator = head.prior_generator
    if set(generator.num_base_priors) == {1}:
        return [1]
    return [anchors.tolist() for anchors in generator.base_anchors]
