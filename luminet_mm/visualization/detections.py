import copy
from typing import Dict, List, Optional, Sequence

import cv2
import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from ..distillers import LogitDistiller
from ..distillers.pixels import samples_of
from .figure import DPI, new_figure, to_image

HEIGHT = 360  # of each picture, in pixels; upstream's lettering suits it
MAX_WIDTH = 4 * HEIGHT  # of a strip, whose picture is less high
TITLE_HEIGHT = 36
GAP = 6


@torch.no_grad()
def detect(
    model: BaseModel, inputs: Tensor, data_samples: list, rescale: bool = True
) -> List[InstanceData]:
    """Detections of a model of mmdet.

    Args:
        model (BaseModel): A detector, in eval mode.
        inputs (Tensor): The batch from its preprocessor, shape (B, 3, H, W).
        data_samples (list): The batch's data samples; they are not changed.
        rescale (bool): Whether boxes are in pixels of the image file or of
            ``inputs``. Defaults to True, the file.

    Returns:
        list[InstanceData]: Boxes, labels and scores of each image, on the CPU.
    """
    samples = model.predict(inputs, copy.deepcopy(data_samples), rescale=rescale)
    return [sample.pred_instances.cpu() for sample in samples]


def detect_by_teachers(
    distiller: LogitDistiller, inputs: Tensor, data_samples: list, rescale: bool = True
) -> Dict[str, List[InstanceData]]:
    """Detections of a distiller's teachers, each on its own pixels.

    Args:
        distiller (LogitDistiller): Of detectors.
        inputs (Tensor): The student's batch, shape (B, 3, H, W).
        data_samples (list): As :func:`detect`.
        rescale (bool): As :func:`detect`.

    Returns:
        dict[str, list[InstanceData]]: By 'teacher', or 'teacher 1' and so on.
    """
    found = {}
    teachers = distiller.teachers or distiller.build_teachers()
    for index, teacher in enumerate(teachers, 1):
        title = 'teacher' if len(teachers) == 1 else f'teacher {index}'
        pixels = teacher.prepare_inputs(inputs, data_samples)
        samples, to_file = data_samples, rescale
        if teacher.pixels.zoom:
            factors = teacher.factors(inputs, samples)
            samples = samples_of(samples, pixels, factors)
            if not rescale:  # to the student's pixels, then
                for sample, factor in zip(samples, factors):
                    sample.set_metainfo(dict(scale_factor=factor))
                to_file = True
        found[title] = detect(teacher.model, pixels, samples, to_file)
    return found


def draw_detections(
    images: Sequence[np.ndarray],
    columns: Dict[str, Sequence[InstanceData]],
    classes: Optional[Sequence[str]] = None,
    palette: Optional[Sequence[tuple]] = None,
    score_thr: float = 0.3,
) -> np.ndarray:
    """Draw what several models see in the same images, side by side.

    Each picture is painted by mmdet's ``DetLocalVisualizer``, brought to a height of
    360 pixels before, so that boxes and letters have one size.

    Args:
        images (Sequence[ndarray]): RGB, uint8, shape (H, W, 3); one row each.
        columns (dict[str, Sequence[InstanceData]]): Title of a column -> instances
            of each image: ``bboxes`` of shape (n, 4), x1, y1, x2, y2 in pixels of
            the image, ``labels`` and, unless they are the ground truth, ``scores``.
        classes (Sequence[str], optional): Names of the classes. Defaults to None,
            which shows their numbers.
        palette (Sequence[tuple], optional): RGB of each class. Defaults to None,
            colours of the visualizer's choice.
        score_thr (float): Score above which a detection is shown. Defaults to 0.3,
            upstream's default.

    Returns:
        ndarray: RGB, uint8, shape (H, W, 3).
    """
    rows = [
        [
            _paint(image, instances[index], classes, palette, score_thr)
            for instances in columns.values()
        ]
        for index, image in enumerate(images)
    ]
    width = max(row[0].shape[1] for row in rows) + GAP
    height = HEIGHT + GAP
    sheet = np.full(
        (TITLE_HEIGHT + height * len(rows), width * len(columns), 3), 255, np.uint8
    )
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = TITLE_HEIGHT + y * height, x * width
            bottom, right = top + picture.shape[0], left + picture.shape[1]
            sheet[top:bottom, left:right] = picture
    figure = new_figure(sheet.shape[1], sheet.shape[0])
    figure.figimage(sheet)
    for x, title in enumerate(columns):
        figure.text(
            (x + 0.5) / len(columns),
            1 - TITLE_HEIGHT / 2 / sheet.shape[0],
            title,
            ha='center',
            va='center',
            fontsize=0.4 * TITLE_HEIGHT * 72 / DPI,
        )
    return to_image(figure)


def _paint(
    image: np.ndarray,
    instances: InstanceData,
    classes: Optional[Sequence[str]],
    palette: Optional[Sequence[tuple]],
    score_thr: float,
) -> np.ndarray:
    """One picture, shape (HEIGHT, W, 3), or less high."""
    from mmdet.structures import DetDataSample
    from mmdet.visualization import DetLocalVisualizer

    height, width = image.shape[:2]
    factor = min(HEIGHT / height, MAX_WIDTH / width)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    scaled = InstanceData(
        bboxes=torch.as_tensor(instances.bboxes).float() * factor,
        labels=torch.as_tensor(instances.labels),
    )
    is_truth = 'scores' not in instances
    if not is_truth:
        scaled.scores = instances.scores
        scaled = scaled[scaled.scores.argsort()]  # what is sure is painted last
    needed = int(scaled.labels.max()) + 1 if len(scaled) else 0
    if classes is not None and len(classes) < needed:
        classes = [
            *classes,
            *(f'class {index}' for index in range(len(classes), needed)),
        ]
    if palette is not None and not isinstance(palette, str):
        # a data set of one's own may inherit the few colours of another one
        palette = [tuple(colour) for colour in palette]
        palette = palette if len(palette) >= needed else None
    visualizer = DetLocalVisualizer(line_width=2)
    visualizer.dataset_meta = dict(classes=classes, palette=palette)
    visualizer.add_datasample(
        'detections',
        image,
        DetDataSample(**{'gt_instances' if is_truth else 'pred_instances': scaled}),
        draw_gt=is_truth,
        draw_pred=not is_truth,
        pred_score_thr=score_thr,
    )
    return visualizer.get_image()
