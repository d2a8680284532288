"""The size of images that a model is tested on."""

import math
from typing import Any, List, Optional, Sequence, Tuple


def shape_of(pipeline: Optional[List[dict]]) -> Optional[Tuple[int, int]]:
    """Height and width that a pipeline of testing makes.

    Args:
        pipeline (list[dict], optional): Its transforms.

    Returns:
        tuple[int, int] | None: The size; of what keeps its ratio the largest one, and
        None where the files' own size stays.
    """
    shape = None
    for transform in pipeline or ():
        kind = str(transform.get('type')).split('.')[-1]
        if kind == 'Resize' and transform.get('scale') or kind == 'ResizeEdge':
            shape = _height_width(transform['scale'])
        elif kind == 'CenterCrop':
            shape = _height_width(transform['crop_size'])
        elif kind == 'Pad' and transform.get('size'):
            shape = _height_width(transform['size'])
        elif kind == 'Pad' and transform.get('size_divisor') and shape:
            by = transform['size_divisor']
            shape = tuple(math.ceil(side / by) * by for side in shape)
    return shape


def steps_of(pipeline: Optional[List[dict]]) -> List[str]:
    """What a pipeline of testing does to pixels before they are packed."""
    steps = []
    for transform in pipeline or ():
        kind = str(transform.get('type')).split('.')[-1]
        if not kind.startswith(('Load', 'Pack')):
            others = (f'{k}={v!r}' for k, v in transform.items() if k != 'type')
            steps.append(f'{kind}({", ".join(others)})')
    return steps


def _height_width(size: Any) -> Tuple[int, int]:
    """From OpenMMLab's width and height, or one number for both."""
    if isinstance(size, Sequence):
        width, height = (int(side) for side in size)
        return height, width
    return int(size), int(size)
