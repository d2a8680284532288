"""Classification maps of heads that predict at priors: anchors, or points.

Maps are by level, shape (B, A * C, H, W) with A priors at each location and C the
head's ``cls_out_channels``; P is the number of an image's priors on all levels.
"""

from typing import Any, Iterator, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...compat import is_instance
from ..zoom import Zoom
from .base import Rows, add_background, is_sigmoid

# The part of upstream's heads that predicts what scores are multiplied by in testing,
# and what it means; some heads mean something else by it
QUALITY = dict(
    conv_centerness='centreness',
    atss_centerness='centreness',
    atss_iou='IoU',
    multi_level_conv_obj='objectness',
)
MEANT = dict(PAAHead='IoU', AutoAssignHead='objectness')


def check_heads(head_S: nn.Module, head_T: nn.Module, key_S: str, key_T: str) -> None:
    """Check that the priors of two heads correspond one by one.

    Raises:
        ValueError: If they do not, naming the config keys and what differs.
    """
    heads = (head_S, head_T)
    for what, value_S, value_T in (
        ('num_classes', head_S.num_classes, head_T.num_classes),
        ('use_sigmoid_cls', *map(is_sigmoid, heads)),
        ('strides of the levels', *map(_strides, heads)),
        ('priors at each location', *map(_counts, heads)),
        ('priors at each location', *_other_anchors(*heads)),
    ):
        if value_S != value_T:
            raise ValueError(
                f'{what}: {value_S} of the student ({key_S}, a '
                f'{type(head_S).__name__}) and {value_T} of the teacher ({key_T}, a '
                f'{type(head_T).__name__}), they must be the same for their '
                'classification maps to be comparable'
            )


def check_octaves(zoom: Zoom, key: str, what: str, head: nn.Module) -> None:
    """Check that a teacher that sees another size has maps of the same places.

    Args:
        zoom (Zoom): At which size it sees images.
        key (str): The config key of the teacher.
        what (str): What is compared place by place.
        head (nn.Module): The student's head, whose priors are as the teacher's.

    Raises:
        ValueError: If it has not.
    """
    if zoom.octaves is None:
        raise ValueError(
            f'{key} is {zoom}, and {what} can only be paired where the levels of the '
            f'two pyramids are: {key}.scale must be 2, 4, 0.5 or the like'
        )
    strides = _strides(head)
    anchors = getattr(head.prior_generator, 'base_anchors', None)
    first, last = max(0, -zoom.octaves), len(strides) - max(0, zoom.octaves)
    for level in range(first, last):
        other = level + zoom.octaves
        larger = tuple(zoom.scale * pixels for pixels in strides[level])
        same = larger == strides[other]
        if same and anchors is not None and _counts(head) != [1]:
            own, others = zoom.scale * anchors[level], anchors[other]
            near = 0.1 * min(larger)  # some generators round
            same = own.shape == others.shape and bool(
                (own - others).abs().max() <= near
            )
        if not same:
            raise ValueError(
                f'{key} is {zoom}, and the priors of level {other} '
                f'({type(head).__name__}, strides {strides}) are not those of level '
                f'{level} at that size, so {what} cannot be paired; remove {key}.scale'
            )


class Pyramids:
    """Priors of student and teacher, paired level by level.

    Level i of the student is the teacher's i + octaves: where the teacher sees an image
    twice as large, its map of twice the stride has the same places, and its anchors
    there are as large as the student's on the image. Images are padded at the right and
    at the bottom, so maps correspond from the upper left corner on. What has no
    counterpart is not compared.

    Args:
        maps_S, maps_T (list[Tensor]): Classification maps of the two, by level.
        head (nn.Module): The head of one; they were compared before.
        rows (Rows): The student's, with the shift and the sizes of both batches.

    Raises:
        ValueError: If maps of the two differ by more than the padding of the images.
    """

    def __init__(
        self,
        maps_S: List[Tensor],
        maps_T: List[Tensor],
        head: nn.Module,
        rows: Rows,
    ) -> None:
        octaves = rows.octaves
        self.maps_S, self.maps_T, self.octaves = maps_S, maps_T, octaves
        self.channels = head.cls_out_channels
        first, last = max(0, -octaves), min(len(maps_S), len(maps_T) - octaves)
        shapes_S = shapes(maps_S[first:last])
        shapes_T = shapes(maps_T[first + octaves : max(last + octaves, 0)])
        if not shapes_S:
            raise ValueError(
                f'model.teacher.scale shifts the levels of the teacher by {octaves}, '
                f'and none of its {len(maps_T)} then meets one of the {len(maps_S)} of '
                'the student; take a scale nearer to 1'
            )
        sizes = rows.image_size, rows.shown
        self.same = shapes_S == shapes_T
        if not self.same and not all(
            _same_places(*pair, *sizes) for pair in zip(shapes_S, shapes_T)
        ):
            raise ValueError(
                f'the classification maps of the student have the shapes {shapes_S}, '
                f'those of the teacher {shapes_T}, which are not of the same places'
            )

    @property
    def shared(self) -> Tensor:
        """Which of the student's priors have a counterpart, shape (B, P), bool."""
        num = sum(num_priors(self.maps_T, self.channels))
        shape = (len(self.maps_T[0]), num)
        every = torch.ones(shape, dtype=torch.bool, device=self.maps_T[0].device)
        return self.to_student(every, False)

    def to_student(self, values: Tensor, fill: float) -> Tensor:
        """Values of the teacher's priors, (B, P_T), at the student's, (B, P)."""
        return self._shift(values, self.maps_T, self.maps_S, self.octaves, fill)

    def to_teacher(self, mask: Tensor) -> Tensor:
        """A mask of the student's priors, (B, P), as one of the teacher's, (B, P_T)."""
        return self._shift(mask, self.maps_S, self.maps_T, -self.octaves, False)

    def _shift(
        self,
        values: Tensor,
        maps: List[Tensor],
        others: List[Tensor],
        octaves: int,
        fill: float,
    ) -> Tensor:
        if not octaves and self.same:
            return values
        levels = values.split(num_priors(maps, self.channels), dim=1)
        shifted = []
        for index, other in enumerate(others, start=octaves):
            size, num = other.shape[2:], other.shape[1] // self.channels
            grid = values.new_full((len(values), *size, num), fill)
            if 0 <= index < len(levels):
                own = levels[index].view(len(values), *maps[index].shape[2:], num)
                height, width = map(min, zip(size, maps[index].shape[2:]))
                grid[:, :height, :width] = own[:, :height, :width]
            shifted.append(grid.flatten(1))
        return torch.cat(shifted, dim=1)


def _same_places(
    shape_S: tuple,
    shape_T: tuple,
    size_S: Optional[Tuple[int, int]],
    size_T: Optional[Tuple[int, int]],
) -> bool:
    """Whether maps of two images that differ in padding have as many cells of what
    both images show, but for one that is cut."""
    if shape_S[:2] != shape_T[:2] or size_S is None or size_T is None:
        return shape_S == shape_T
    return all(
        abs(cells_S * min(pixels) / pixels[0] - cells_T * min(pixels) / pixels[1]) <= 1
        for cells_S, cells_T, pixels in zip(
            shape_S[2:], shape_T[2:], zip(size_S, size_T)
        )
    )


def shapes(maps: Sequence[Tensor]) -> List[tuple]:
    """Shapes of the maps, by level."""
    return [tuple(level.shape) for level in maps]


def logit_maps(maps: Sequence[Tensor], head: nn.Module) -> List[Tensor]:
    """Logits of the maps that a head returns, which may be probabilities (TOOD)."""
    if not getattr(getattr(head, 'loss_cls', None), 'activated', False):
        return list(maps)
    # float16 would round probabilities near 1 to it
    return [level.float().logit(eps=torch.finfo().eps) for level in maps]


def quality_maps(output: Sequence[Any], head: nn.Module) -> Optional[List[Tensor]]:
    """The logits by whose sigmoid a head's scores are multiplied in testing.

    Centreness, objectness or IoU: the third of a head's outputs where it has one
    channel for each prior, shape (B, A, H, W) by level; what else stands there (points,
    coefficients, kernels) has more.
    """
    if len(output) < 3 or not isinstance(output[2], (list, tuple)):
        return None
    maps, third = output[0], output[2]
    one_each = [
        (len(level), level.shape[1] // head.cls_out_channels, *level.shape[2:])
        for level in maps
    ]
    is_maps = all(isinstance(level, Tensor) for level in third)
    return list(third) if is_maps and shapes(third) == one_each else None


def quality_of(head: nn.Module) -> Optional[str]:
    """What a head's :func:`quality_maps` mean, or None where it has none."""
    for part, meaning in QUALITY.items():
        if hasattr(head, part):
            return next((MEANT[n] for n in MEANT if is_head(head, n)), meaning)
    return None


def num_priors(maps: List[Tensor], channels: int) -> List[int]:
    """Priors of an image by level."""
    return [level[0].numel() // channels for level in maps]


def confidence(
    maps: List[Tensor], head: nn.Module, quality: Optional[List[Tensor]] = None
) -> Tensor:
    """How sure a head is of the likeliest class at each prior.

    Args:
        maps (list[Tensor]): Its classification maps.
        head (nn.Module): The head.
        quality (list[Tensor], optional): Its :func:`quality_maps`. Defaults to None.

    Returns:
        Tensor: The logit of a sigmoid, the logarithm of a softmax's probability; with
        ``quality`` the logarithm of the product. Shape (B, P).
    """
    best = []
    for index, level in enumerate(maps):
        classes = level.unflatten(1, (-1, head.cls_out_channels))
        if not is_sigmoid(head):
            classes = classes.log_softmax(dim=2)[:, :, : head.num_classes]
        score = classes.amax(dim=2)
        if quality is not None:
            if is_sigmoid(head):
                score = F.logsigmoid(score)
            score = score + F.logsigmoid(quality[index])
        best.append(flatten(score))
    return torch.cat(best, dim=1)


def probability(
    score: Tensor, head: nn.Module, quality: Optional[List[Tensor]] = None
) -> Tensor:
    """The probability of the likeliest class, of a head's :func:`confidence`."""
    is_logit = is_sigmoid(head) and quality is None
    return score.sigmoid() if is_logit else score.exp()


def flatten(level: Tensor) -> Tensor:
    """A map (B, A, H, W) in the order of upstream's losses: location, then prior;
    shape (B, H * W * A)."""
    return level.permute(0, 2, 3, 1).flatten(1)


def highest(score: Tensor, num: int) -> Tensor:
    """A mask of the ``num`` highest of each row, or all; shape (B, P)."""
    top = score.topk(min(num, score.shape[1]), dim=1).indices
    return torch.zeros_like(score, dtype=torch.bool).scatter_(1, top, True)


def by_level(
    maps: List[Tensor], chosen: Tensor, head: nn.Module
) -> Iterator[Tuple[Tensor, Tuple[Tensor, ...]]]:
    """What a head predicts at the chosen priors, and where these are.

    Args:
        maps (list[Tensor]): Any of its maps, by level, shape (B, A * D, H, W).
        chosen (Tensor): Which priors, shape (B, P), bool.
        head (nn.Module): The head.

    Yields:
        tuple: For each level the values, shape (N, D), and where they stand: indices of
        image, row, column and prior of the location, each of shape (N,).
    """
    counts = head.prior_generator.num_base_priors
    sizes = [num * level[0, 0].numel() for level, num in zip(maps, counts)]
    for level, num, mask in zip(maps, counts, chosen.split(sizes, dim=1)):
        mask = mask.view(len(level), *level.shape[2:], num)
        place = image, y, x, prior = mask.nonzero(as_tuple=True)
        yield level.unflatten(1, (num, -1))[image, prior, :, y, x], place


def at_chosen(maps: List[Tensor], chosen: Tensor, head: nn.Module) -> Tensor:
    """What a head predicts at the chosen priors, level by level, shape (N, D); see
    :func:`by_level`."""
    return torch.cat([values for values, _ in by_level(maps, chosen, head)])


def take(maps: List[Tensor], chosen: Tensor, head: nn.Module) -> Tensor:
    """Logits of the chosen priors, level by level, shape (N, C), background last."""
    logits = at_chosen(maps, chosen, head)
    return add_background(logits) if is_sigmoid(head) else logits


def is_head(head: nn.Module, *names: str) -> bool:
    """Whether a head is one of mmdet's of these names, or of a subclass."""
    return any(is_instance(head, 'mmdet.models', name) for name in names)


def _strides(head: nn.Module) -> list:
    return [tuple(stride) for stride in head.prior_generator.strides]


def _counts(head: nn.Module) -> list:
    """Number of priors at a location by level; one number where all have as many."""
    counts = list(head.prior_generator.num_base_priors)
    return counts[:1] if len(set(counts)) == 1 else counts


def _other_anchors(head_S: nn.Module, head_T: nn.Module) -> Tuple[list, list]:
    """The first two anchors of a location that differ, or nothing. One prior is a
    location, whatever size its head gives it."""
    if _counts(head_S) == _counts(head_T) != [1]:
        levels = zip(*(h.prior_generator.base_anchors for h in (head_S, head_T)))
        for anchors_S, anchors_T in levels:
            for pair in zip(anchors_S.tolist(), anchors_T.tolist()):
                if pair[0] != pair[1]:
                    return pair
    return [], []
