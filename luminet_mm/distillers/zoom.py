import math
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import torch.nn.functional as F
from torch import Tensor

from ..checks import check_number, check_type

KEYS = ('scale', 'size')
SIZE = 'two integers, height and width'


@dataclass(frozen=True)
class Zoom:
    """The size at which a teacher sees the student's images.

    A teacher can only be shown what the student's pipeline has loaded, so a larger
    image has no finer detail; but its objects have the size that the teacher was
    trained on, and its maps are finer.

    Args:
        scale (float): How many of the teacher's pixels one of the student's is, on a
            side. Defaults to 1.0.
        size (tuple[int, int], optional): Height and width that every image is brought
            to, for classifiers. Defaults to None.
    """

    scale: float = 1.0
    size: Optional[Tuple[int, int]] = None

    @classmethod
    def of(cls, teacher: dict) -> Tuple[dict, 'Zoom']:
        """The zoom that a teacher's config asks for.

        Args:
            teacher (dict): ``model.teacher``, maybe with ``scale`` or ``size``.

        Returns:
            tuple[dict, Zoom]: The config without it, and the zoom.

        Raises:
            TypeError, ValueError: If they are none, or both are there.
        """
        asked = {key: teacher[key] for key in KEYS if teacher.get(key) is not None}
        if len(asked) == 2:
            raise ValueError(
                f'model.teacher.scale={asked["scale"]!r} and model.teacher.size='
                f'{asked["size"]!r}: give one of the two'
            )
        if 'scale' in asked:
            check_number('model.teacher.scale', asked['scale'], above=0)
        if 'size' in asked:
            size = asked['size']
            check_type('model.teacher.size', size, (list, tuple), SIZE)
            if len(size) != 2:
                raise ValueError(f'model.teacher.size={size!r} must be {SIZE}')
            for pixels in size:
                check_number('model.teacher.size', pixels, at_least=1, integer=True)
            asked['size'] = tuple(size)
        plain = {key: value for key, value in teacher.items() if key not in KEYS}
        return type(teacher)(plain), cls(**asked)

    def __bool__(self) -> bool:
        """Whether anything is resized."""
        return self != NO_ZOOM

    @property
    def octaves(self) -> Optional[int]:
        """By how many levels of a pyramid maps of the same places are shifted; None
        where the scale is no power of two, so that there are none."""
        mantissa, exponent = math.frexp(self.scale)
        return exponent - 1 if mantissa == 0.5 and self.size is None else None

    def shape(self, height: int, width: int) -> Tuple[int, int]:
        """Height and width of an image of the student's, as the teacher sees it."""
        return self.size or (
            max(round(height * self.scale), 1),
            max(round(width * self.scale), 1),
        )

    def factors(self, shapes: Sequence[Tuple[int, int]]) -> List[Tuple[float, float]]:
        """How many of the teacher's pixels one of the student's is, after rounding.

        Args:
            shapes (Sequence[tuple[int, int]]): Height and width of each of the
                student's images.

        Returns:
            list[tuple[float, float]]: Along x and y, of each image.
        """
        zoomed = [self.shape(*shape) for shape in shapes]
        return [(w / shape[1], h / shape[0]) for (h, w), shape in zip(zoomed, shapes)]

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) at the teacher's size, bilinear, as pipelines make it."""
        size = self.shape(*images.shape[2:])
        # CPUs know no lower precision here
        zoomed = F.interpolate(images.float(), size, mode='bilinear', antialias=True)
        return zoomed.to(images)

    def __str__(self) -> str:
        if self.size:
            return f'resized to {self.size[0]} x {self.size[1]}'
        return f'resized by {self.scale}'


NO_ZOOM = Zoom()
