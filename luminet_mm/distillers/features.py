"""Losses of features between two models: their connectors, and what they are given."""

import logging
from itertools import product
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from .building import copy_of
from .distill_losses import INCOMPARABLE, SummedOverPairs, name_of_loss
from .rest import Rest
from .taps import Taps
from .zoom import NO_ZOOM, Zoom

# Of the image whose features' shapes are looked at: large enough to tell a stride of
# 128 from one of 64, and for models that take no other size
IMAGE_SIZES = (128, 224, 32)
CHANNELS = (3, 1)

Side = Tuple[BaseModel, Taps, Any]


class ExtractionError(ValueError):
    """A model does not take an image."""


def connect(
    losses: Dict[str, nn.Module],
    student: BaseModel,
    taps_S: Taps,
    teacher: BaseModel,
    taps_T: Taps,
    zoom: Zoom,
) -> None:
    """Show the losses the shapes of the features, for which they make connectors.

    Args:
        losses (dict[str, nn.Module]): Losses of features by name.
        student (BaseModel): The student.
        taps_S (Taps): Its taps.
        teacher (BaseModel): The teacher, maybe without its weights.
        taps_T (Taps): Its taps.
        zoom (Zoom): The size at which it sees the student's images.

    Raises:
        ValueError: If features cannot be had or compared, naming the loss.
    """
    shapes_S, shapes_T = _shapes_of_both(student, taps_S, teacher, taps_T, zoom)
    for name, loss in losses.items():
        key = f'model.distill_losses.{name}.layers'
        own_S, own_T = [], []
        for place_S, place_T in loss.layers:
            if len(shapes_S[place_S]) != len(shapes_T[place_T]):
                raise ValueError(
                    f'{key}: {place_S!r} gives {len(shapes_S[place_S])} features of the'
                    f' student, {shapes_S[place_S]}, and {place_T!r} '
                    f'{len(shapes_T[place_T])} of the teacher, {shapes_T[place_T]}; '
                    "name pairs, as ('stages[0]', 'stages[1]')"
                )
            own_S += shapes_S[place_S]
            own_T += shapes_T[place_T]
        loss.connect(own_S, own_T)


def _shapes_of_both(
    student: BaseModel, taps_S: Taps, teacher: BaseModel, taps_T: Taps, zoom: Zoom
) -> List[Dict[str, List[tuple]]]:
    """Shapes of the features that both models give for the same image.

    Some models insist on a size, or take gray images, and only tell by failing.
    """
    sides = [
        ('model.student', copy_of(student).eval(), taps_S, NO_ZOOM),
        ('model.teacher', copy_of(teacher).eval(), taps_T, zoom),
    ]
    sizes = [*_named_sizes(student), *_named_sizes(teacher)]
    sizes += [(size, size) for size in IMAGE_SIZES]
    errors = []
    for channels, size in product(CHANNELS, dict.fromkeys(sizes)):
        try:
            return [
                _shapes(*side, (1, channels, *seen.shape(*size)))
                for *side, seen in sides
            ]
        except ExtractionError as error:
            errors.append(error)
    raise errors[0]


def _named_sizes(model: BaseModel) -> Iterator[Tuple[int, int]]:
    """Sizes of images that parts of a model are made for, as far as they say."""
    for module in model.modules():
        size = getattr(module, 'img_size', None)
        size = (size, size) if isinstance(size, int) else size
        if isinstance(size, (list, tuple)) and len(size) == 2:
            yield tuple(size)


@torch.no_grad()
def _shapes(
    key: str, model: BaseModel, taps: Taps, shape: Sequence[int]
) -> Dict[str, List[tuple]]:
    """Shapes of the features of one image, by the name of their tap."""
    image = next(model.parameters()).new_zeros(shape)
    with taps.observe(model, partly=True) as features:
        try:
            model.extract_feat(image)
        except Exception as error:  # of upstream's code
            raise ExtractionError(
                f'{key} is a {type(model).__name__}, whose features cannot be '
                f'extracted: {type(error).__name__}: {error}'
            ) from error
    for name, tap in taps.taps.items():
        if name not in features:
            raise ValueError(
                f'{tap.key}: {name!r} gives no features, since it does not run, or '
                f'returns no tensors, when {type(model).__name__} extracts features: '
                'take a place in backbone or neck'
            )
    return {
        name: [tuple(feat.shape) for feat in feats] for name, feats in features.items()
    }


def compare(
    loss: nn.Module,
    key: str,
    side_S: Side,
    side_T: Side,
    data_samples: list,
    is_first: bool,
) -> Tensor:
    """One loss of features.

    Args:
        loss (nn.Module): The loss.
        key (str): Its config key.
        side_S (tuple): The student, its taps, and the :class:`Rows` seen of it.
        side_T (tuple): The same of the teacher.
        data_samples (list): The batch's data samples.
        is_first (bool): Whether it is the first iteration, in which features are
            looked at before they are compared.

    Returns:
        Tensor: A scalar.

    Raises:
        ValueError: In the first iteration, if they cannot be compared.
    """
    feats_S, feats_T = (
        [feat for pair in loss.layers for feat in rows.features[pair[side]]]
        for side, (_, _, rows) in enumerate((side_S, side_T))
    )
    # Models pad images to different multiples, at the right and at the bottom
    size_S, size_T = (rows.image_size for _, _, rows in (side_S, side_T))
    common = tuple(min(pixels) for pixels in zip(size_S, size_T))
    feats_S = _crop(feats_S, size_S, common)
    feats_T = _crop(feats_T, size_T, common)
    if is_first:
        _check(loss, key, feats_S, feats_T)
    context = {}
    if 'gt_labels' in loss.needs:
        context['gt_labels'] = _labels(data_samples)
    if 'data_samples' in loss.needs:
        context['data_samples'] = data_samples
    if 'image_size' in loss.needs:
        context['image_size'] = common
    try:
        if 'rests' in loss.needs:
            context['rests'] = _rests(loss, side_S, side_T)
        return loss(feats_S, feats_T, **context)
    except INCOMPARABLE as error:
        if not is_first:
            raise
        if isinstance(error, ValueError) and not isinstance(loss, SummedOverPairs):
            told = str(error).startswith(key)
            raise ValueError(str(error) if told else f'{key}: {error}') from error
        raise ValueError(
            f'{key}: {name_of_loss(loss)} cannot compare features of the shapes '
            f'{_shapes_of(feats_S)} of the student and {_shapes_of(feats_T)} of the '
            f'teacher. {type(error).__name__}: {error}'
        ) from error


def _crop(
    feats: List[Tensor], size: Sequence[int], common: Sequence[int]
) -> List[Tensor]:
    """What maps (B, C, H, W) of padded images of one size show of a smaller one."""
    if size == common:
        return feats
    cropped = []
    for feat in feats:
        if feat.dim() == 4:
            height, width = (
                -(-cells * kept // pixels)
                for cells, pixels, kept in zip(feat.shape[2:], size, common)
            )
            feat = feat[:, :, :height, :width]
        cropped.append(feat)
    return cropped


def _rests(loss: nn.Module, *sides: Side) -> Tuple[Rest, ...]:
    """What follows the compared stages in student and teacher."""
    return tuple(
        Rest(model, [m for pair in loss.layers for m in taps.modules(pair[side])])
        for side, (model, taps, _) in enumerate(sides)
    )


def _labels(data_samples: list) -> Optional[Tensor]:
    """The class of each image, shape (B,), where images have one."""
    labels = [sample.get('gt_label') for sample in data_samples]
    soft = any('gt_score' in sample for sample in data_samples)
    if soft or any(label is None or label.numel() != 1 for label in labels):
        return None
    return torch.cat(labels)


def _check(
    loss: nn.Module, key: str, feats_S: List[Tensor], feats_T: List[Tensor]
) -> None:
    if len(feats_S) != len(feats_T):
        raise ValueError(
            f'{key}.layers={loss.layers}: the student gives {len(feats_S)} features '
            f'and the teacher {len(feats_T)}'
        )
    for who, feats in (('student', feats_S), ('teacher', feats_T)):
        if not all(feat.isfinite().all() for feat in feats):
            raise ValueError(
                f'{key}.layers={loss.layers}: features of the {who} are not finite; '
                'look at the weights that it starts from'
            )
    deaf = [not feat.requires_grad for feat in feats_S]
    if torch.is_grad_enabled() and any(deaf):
        text = (
            f'{key}.layers={loss.layers}: {sum(deaf)} of the {len(deaf)} features of '
            'the student have no gradient, so nothing is learnt there: they are frozen '
            '(frozen_stages), or inside of what gradient checkpointing (with_cp) '
            'computes anew, where only the output of the whole block can be compared'
        )
        if all(deaf):
            raise ValueError(text)
        print_log(text, logger='current', level=logging.WARNING)


def _shapes_of(feats: List[Tensor]) -> List[tuple]:
    return [tuple(feat.shape) for feat in feats]
