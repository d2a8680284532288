from contextlib import contextmanager
from typing import Iterator

from mmengine.model import BaseModel
from torch import Tensor

from ..zoom import Zoom
from .base import Rows, Source, class_names


class FeatureSource(Source):
    """Models that are compared by their features alone, of any family.

    No rows are made, so student and teacher need nothing in common but the features
    that the losses name: a RetinaNet may teach a Faster R-CNN by its neck, a ViT a
    ResNet by what their heads are given. The distiller takes this source where no loss
    compares rows; nobody has to name it.
    """

    rows_are_images = True
    predictions = ()
    compared = frozenset()

    @classmethod
    def fits(cls, model: BaseModel) -> bool:
        return hasattr(model, 'extract_feat')

    def check(self, student: BaseModel, teacher: BaseModel, key: str) -> None:
        """Nothing has to be the same."""

    def check_zoom(self, zoom: Zoom, key: str) -> None:
        """Any: the losses look at the shapes."""

    def family(self, model: BaseModel) -> str:
        parts = (getattr(model, name, None) for name in ('backbone', 'neck'))
        return class_names(model, *parts)

    @contextmanager
    def observe(self, student: BaseModel, data_samples: list) -> Iterator[Rows]:
        yield Rows()

    def teach(self, teacher: BaseModel, inputs: Tensor, rows: Rows) -> Rows:
        teacher.extract_feat(inputs)
        return Rows()

    def check_rows(self, student: BaseModel, rows: Rows, num_images: int) -> None:
        """There are none."""

    def __str__(self) -> str:
        return 'features'
