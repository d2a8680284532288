"""Whether an exported file computes what the model computes."""

import math
from typing import Callable, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .graphs import ClassifierGraph, DetectorGraph

TOLERANCE = 1e-4
# Share of boxes that may differ: of two that overlap, the one whose score is larger in
# the last digit stays, and another runtime rounds otherwise
TIES = 0.02
NUM_IMAGES = 3
BLOBS = (3, 8, 24)  # points of random colour to a side, from coarse to fine


def random_images(count: int, shape: Tuple[int, int], seed: int) -> Tensor:
    """Images of coloured blobs, which have edges at several scales as photos have.

    Args:
        count (int): How many.
        shape (tuple[int, int]): Height and width.
        seed (int): The same one makes the same images.

    Returns:
        Tensor: RGB of 8 bits, shape (count, 3, height, width).
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, 3, *shape)
    for points in BLOBS:
        blobs = torch.rand(count, 3, points, points, generator=generator)
        images += F.interpolate(blobs, shape, mode='bilinear', align_corners=True)
    return (images * (255 / len(BLOBS))).to(torch.uint8)


@torch.no_grad()
def check_classifier(
    graph: ClassifierGraph,
    run: Callable,
    shape: Tuple[int, int],
    batch_sizes: List[int],
) -> float:
    """Compare a file's logits with the model's, in batches of several sizes.

    Args:
        graph (ClassifierGraph): What was exported.
        run (Callable): Runs the file.
        shape (tuple[int, int]): Height and width of images.
        batch_sizes (list[int]): Sizes of batches that the file must take, first that
            of the trace.

    Returns:
        float: Largest difference, to the largest logit where that is above 1.

    Raises:
        ValueError: If the difference is above :data:`TOLERANCE`, or a batch cannot be
            given.
    """
    worst = 0.0
    for size in batch_sizes:
        images = random_images(size, shape, seed=size)
        (own,) = graph.own(images)
        try:
            (other,) = run(images)
            wrong = _of_largest(own, other)
        except Exception as error:  # of the runtime
            wrong, problem = math.inf, str(error).strip().split('\n')[0]
        else:
            problem = f'logits differ by {wrong:.2g} of the largest'
        if wrong > TOLERANCE and size != batch_sizes[0]:
            raise ValueError(
                f'the file computes a batch of {batch_sizes[0]} images as the model '
                f'does, and not one of {size} ({problem}): the model counts its images '
                'in Python, which a trace does not follow. Fix their number, with '
                '--batch-size 1; nothing was kept'
            )
        if wrong > TOLERANCE:
            raise ValueError(
                f'the file does not compute what the model does: {problem}, and '
                f'{TOLERANCE} is allowed; nothing was kept'
            )
        worst = max(worst, wrong)
    return worst


def _of_largest(own: Tensor, other: Tensor) -> float:
    """Largest difference of logits, to the largest of them where that is above 1."""
    if own.shape != other.shape:
        raise ValueError(f'the shape is {tuple(other.shape)}')
    difference = (own - other).abs().max() / own.abs().max().clamp(min=1)
    return float(difference.nan_to_num(nan=math.inf))


@torch.no_grad()
def check_detector(
    graph: DetectorGraph,
    load: Callable[[Optional[float]], Callable],
    shape: Tuple[int, int],
) -> Tuple[float, int, int]:
    """Compare a file's boxes, scores and labels with those of the model.

    Where the model finds nothing in random images, the threshold of scores is lowered
    in both, so that boxes are compared in any case.

    Args:
        graph (DetectorGraph): What was exported.
        load (Callable): Makes the file run, with another threshold if one is given.
        shape (tuple[int, int]): Height and width of images.

    Returns:
        tuple[float, int, int]: Largest difference, of scores or, to the longer side of
        the image, of boxes; how many boxes the model found, and how many of them are
        not among those of the file, or the other way round.

    Raises:
        ValueError: If more than :data:`TIES` of the boxes have no counterpart within
            :data:`TOLERANCE`, or nothing could be compared.
    """
    images = [random_images(1, shape, seed) for seed in range(NUM_IMAGES)]
    compared = _compare(graph, load(None), images, None)
    if not compared[1]:
        lowered = _lower_threshold(graph, images)
        compared = _compare(graph, load(lowered), images, lowered)
    return compared


def _compare(
    graph: DetectorGraph,
    run: Callable,
    images: List[Tensor],
    score_thr: Optional[float],
) -> Tuple[float, int, int]:
    worst, count, lacking = 0.0, 0, 0
    for image in images:
        own, other = graph.own(image, score_thr), run(image)
        difference, unmatched = match(own, other, max(graph.shape))
        worst = max(worst, difference)
        count += len(own[1])
        lacking += unmatched
    if lacking > TIES * count:
        raise ValueError(
            f'of {count} boxes that the model finds in random images, {lacking} are '
            f'not found by the file, or the other way round (up to {TOLERANCE} of the '
            'longer side of the image, or of a score); nothing was kept'
        )
    return worst, count, lacking


def _lower_threshold(graph: DetectorGraph, images: List[Tensor]) -> float:
    """A threshold above which some boxes are, with no score next to it."""
    scores = torch.cat([graph.own(image, 0.0)[1] for image in images])
    scores = scores.sort(descending=True).values[:40]
    if len(scores) < 2:
        raise ValueError(
            'the model finds no box in random images at any score, so its file could '
            'not be checked; nothing was kept'
        )
    first = min(5, len(scores) - 1)  # boxes at least
    gap = first + int((scores[first - 1 : -1] - scores[first:]).argmax())
    return float(scores[gap - 1] + scores[gap]) / 2


def match(
    own: Sequence[Tensor], other: Sequence[Tensor], side: int
) -> Tuple[float, int]:
    """Find the counterparts of detections.

    Boxes of nearly one score may come in another order, so each is compared with the
    nearest of its label that is left.

    Args:
        own (Sequence[Tensor]): Boxes, shape (n, 4), scores and labels, shape (n,).
        other (Sequence[Tensor]): The same of another n.
        side (int): What a box's corners are compared to.

    Returns:
        tuple[float, int]: The largest difference of a score, or of a corner to
        ``side``, of counterparts, which differ by :data:`TOLERANCE` at most; and how
        many have none.
    """
    apart = [(a[:, None] - b).abs() for a, b in zip(own[:2], other)]
    same = [a[:, None] == b for a, b in zip(own[:2], other)]  # infinite ones, too
    corners, scores = (a.masked_fill(equal, 0) for a, equal in zip(apart, same))
    apart = torch.maximum(corners.amax(-1) / side, scores).nan_to_num(nan=math.inf)
    apart[own[2][:, None] != other[2]] = math.inf
    worst, found = 0.0, 0
    for row in apart if len(other[1]) else ():
        nearest = row.argmin()
        if row[nearest] <= TOLERANCE:
            worst = max(worst, float(row[nearest]))
            found += 1
            apart[:, nearest] = math.inf
    return worst, max(len(own[1]), len(other[1])) - found
