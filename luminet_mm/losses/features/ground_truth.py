from typing import Any, List, Sequence

from torch import Tensor


def boxes_of(name: str, data_samples: Sequence[Any]) -> List[Tensor]:
    """Read the boxes of the ground truth of a batch.

    Args:
        name (str): Who needs them, for the error.
        data_samples (Sequence[DetDataSample]): Of B images.

    Returns:
        list[Tensor]: Of each image, x1, y1, x2, y2 in pixels of the network's input,
        shape (G, 4); G, the number of boxes, may be 0.

    Raises:
        ValueError: If a sample has no such boxes.
    """
    from mmdet.structures.bbox import get_box_tensor

    boxes = []
    for sample in data_samples:
        instances = sample.get('gt_instances', {})
        found = get_box_tensor(instances.get('bboxes'))
        if not isinstance(found, Tensor) or found.shape[1:] != (4,):
            what = type(found).__name__
            if isinstance(found, Tensor):
                what = f'shape {tuple(found.shape)}'
            raise ValueError(
                f'{name} is a loss for detectors: it needs the boxes of each image, '
                f'data_sample.gt_instances.bboxes of shape (boxes, 4), but finds {what}'
            )
        boxes.append(found)
    return boxes
