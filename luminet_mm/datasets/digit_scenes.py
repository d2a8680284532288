"""A detection set made of the handwritten digits that scikit-learn ships.

It needs no download: 1,797 scans of 8 x 8 pixels are scaled, turned and placed
on cluttered ground. What is made depends on the seed alone, byte for byte, and
no scan is used in two splits.
"""

import json
import os.path as osp
from typing import Dict, List, Tuple

import cv2
import numpy as np
from mmengine.utils import mkdir_or_exist, track_iter_progress

DIGITS = tuple('0123456789')
# Each split's share of the scans.
SPLITS = dict(train=0.7, val=0.1, test=0.2)
# Height of a digit in pixels, and the difference of grey that makes it visible.
HEIGHTS = (14, 44)
CONTRAST = 45


def split_scans(num_scans: int, seed: int) -> Dict[str, np.ndarray]:
    """Deal the scans out to the splits.

    Args:
        num_scans (int): How many scans there are.
        seed (int): Seed of the shuffle.

    Returns:
        dict[str, ndarray]: Indices of the scans of each split; none is in two.
    """
    order = np.random.default_rng(seed).permutation(num_scans)
    ends = (np.cumsum(list(SPLITS.values())) * num_scans).round().astype(int)
    return dict(zip(SPLITS, np.split(order, ends[:-1])))


def render_digit(scan: np.ndarray, height: int, rng: np.random.Generator) -> np.ndarray:
    """Scale a scan, turn and slant it a little, and crop it to its ink.

    Args:
        scan (ndarray): Ink from 0 to 1, shape (8, 8) or a part of that.
        height (int): Height of a whole scan in pixels, before it is turned.
        rng (Generator): Source of the angle, the slant and the width.

    Returns:
        ndarray: Opacity from 0 to 1, shape (H, W); each of the four outer rows
        and columns holds ink.
    """
    scale = height / 8
    angle, slant = rng.uniform(-0.25, 0.25), rng.uniform(-0.2, 0.2)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    ) @ np.array([[rng.uniform(0.8, 1.2), slant], [0, 1]])
    side = 2 * height
    centre = (np.array(scan.shape[::-1]) - 1) / 2
    offset = side / 2 - scale * turn @ centre
    alpha = cv2.warpAffine(
        scan.astype(np.float32),
        np.column_stack([scale * turn, offset]),
        (side, side),
        flags=cv2.INTER_CUBIC,
    )
    # A steep ramp makes a pen's stroke of the blurred scan
    alpha = np.clip((alpha - 0.3) * 4, 0, 1)
    alpha[alpha < 0.2] = 0
    rows, cols = alpha.any(axis=1).nonzero()[0], alpha.any(axis=0).nonzero()[0]
    if not len(rows):
        return alpha[:0, :0]
    return alpha[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def paint(
    image: np.ndarray, alpha: np.ndarray, x: int, y: int, rng: np.random.Generator
) -> None:
    """Paint a shape in a random colour that stands out from its ground.

    Args:
        image (ndarray): Shape (H, W, 3), float32 from 0 to 255, changed in place.
        alpha (ndarray): Opacity of the shape, shape (h, w).
        x (int): Left column of the shape.
        y (int): Top row of the shape.
        rng (Generator): Source of the colour.
    """
    height, width = alpha.shape
    ground = image[y : y + height, x : x + width]
    grey = ground.mean()
    shift = rng.uniform(CONTRAST, 140) * (1 if grey < 128 else -1)
    colour = np.clip(grey + shift + rng.uniform(-30, 30, 3), 0, 255).astype(np.float32)
    ground += alpha[..., None] * (colour - ground)


def draw_ground(size: int, scans: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw cluttered ground: gradients, strokes, fragments of digits, noise.

    Args:
        size (int): Side of the image in pixels.
        scans (ndarray): Scans that fragments are cut from, shape (N, 8, 8).
        rng (Generator): Source of everything random.

    Returns:
        ndarray: Image, shape (size, size, 3), float32 from 0 to 255.
    """
    cells = rng.integers(2, 6)
    patches = rng.uniform(30, 225) + rng.uniform(-50, 50, (cells, cells, 3))
    image = cv2.resize(
        patches.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR
    )
    for _ in range(rng.integers(2, 7)):
        points = rng.integers(0, size, 2) + rng.integers(-30, 31, (4, 2)).cumsum(axis=0)
        alpha = np.zeros((size, size), np.float32)
        cv2.polylines(
            alpha, [points.astype(np.int32)], False, 1.0, int(rng.integers(1, 5))
        )
        paint(image, alpha, 0, 0, rng)
    for _ in range(rng.integers(2, 7)):
        row, col = rng.integers(0, 5, 2)
        fragment = scans[rng.integers(len(scans))][row : row + 4, col : col + 4]
        alpha = render_digit(fragment, _random_height(rng), rng)
        if alpha.size:
            y, x = (rng.integers(0, size - side + 1) for side in alpha.shape)
            paint(image, alpha, x, y, rng)
    image += rng.normal(0, rng.uniform(2, 14), image.shape).astype(np.float32)
    return image.clip(0, 255)


def place_digits(
    image: np.ndarray, scans: np.ndarray, rng: np.random.Generator
) -> List[Tuple[int, Tuple[int, int, int, int], int]]:
    """Paint some digits; their boxes do not overlap.

    Args:
        image (ndarray): Ground, shape (H, W, 3), float32, changed in place.
        scans (ndarray): Scans to choose from, shape (N, 8, 8).
        rng (Generator): Source of everything random.

    Returns:
        list[tuple]: For each digit the position of its scan in ``scans``, its
        tight box (x, y, w, h) and its area, the number of pixels with ink.
    """
    taken = np.zeros(image.shape[:2], bool)
    placed = []
    for _ in range(rng.integers(3, 8)):
        scan = int(rng.integers(len(scans)))
        alpha = render_digit(scans[scan], _random_height(rng), rng)
        h, w = alpha.shape
        for _ in range(20):
            y = int(rng.integers(0, image.shape[0] - h + 1))
            x = int(rng.integers(0, image.shape[1] - w + 1))
            if not taken[y : y + h, x : x + w].any():
                taken[y : y + h, x : x + w] = True
                paint(image, alpha, x, y, rng)
                placed.append((scan, (x, y, w, h), int((alpha > 0).sum())))
                break
    return placed


def _random_height(rng: np.random.Generator) -> int:
    """As many small digits as large ones, on a logarithmic scale."""
    return int(np.exp(rng.uniform(*np.log(HEIGHTS))))


def write_digit_scenes(
    out_dir: str,
    seed: int = 0,
    num_train: int = 1600,
    num_val: int = 100,
    num_test: int = 400,
    size: int = 128,
) -> None:
    """Write the images and COCO annotations of all splits.

    Makes ``{train,val,test}/*.jpg`` and ``annotations/instances_*.json``. Each
    annotation also has ``scan_id``, the index of its scan in scikit-learn's set.

    Args:
        out_dir (str): Folder to write to.
        seed (int): What everything random depends on. Defaults to 0.
        num_train (int): Scenes in the train split. Defaults to 1600.
        num_val (int): Scenes in the val split. Defaults to 100.
        num_test (int): Scenes in the test split. Defaults to 400.
        size (int): Side of the square scenes in pixels. Defaults to 128.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If ``size`` leaves no room for a large digit.
    """
    if size < 2 * HEIGHTS[1]:
        raise ValueError(
            f'size={size} is too small: a digit needs up to {2 * HEIGHTS[1]} pixels'
        )
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            'The scans of the digit scenes come with scikit-learn: '
            'pip install scikit-learn'
        ) from error

    digits = load_digits()
    images = digits.images / 16
    mkdir_or_exist(osp.join(out_dir, 'annotations'))
    splits = split_scans(len(images), seed)
    for number, (split, num_scenes) in enumerate(
        zip(splits, (num_train, num_val, num_test))
    ):
        print(f'{split}: {num_scenes} scenes')
        mkdir_or_exist(osp.join(out_dir, split))
        scan_ids = splits[split]
        coco = dict(
            info=dict(description='digit scenes', seed=seed),
            categories=[dict(id=i, name=name) for i, name in enumerate(DIGITS)],
            images=[],
            annotations=[],
        )
        for image_id in track_iter_progress(range(num_scenes)):
            rng = np.random.default_rng([seed, number, image_id])
            scene = draw_ground(size, images[scan_ids], rng)
            placed = place_digits(scene, images[scan_ids], rng)
            name = f'{image_id:06d}.jpg'
            cv2.imwrite(osp.join(out_dir, split, name), scene.round().astype(np.uint8))
            coco['images'].append(
                dict(id=image_id, file_name=name, width=size, height=size)
            )
            for scan, bbox, area in placed:
                coco['annotations'].append(
                    dict(
                        # From 1: COCO's evaluation takes 0 for `no match`
                        id=len(coco['annotations']) + 1,
                        image_id=image_id,
                        category_id=int(digits.target[scan_ids[scan]]),
                        bbox=bbox,
                        area=area,
                        iscrowd=0,
                        scan_id=int(scan_ids[scan]),
                    )
                )
        with open(
            osp.join(out_dir, 'annotations', f'instances_{split}.json'), 'w'
        ) as f:
            json.dump(coco, f)
        print()
