from contextlib import contextmanager
from typing import Iterator

import torch
from mmengine.model import BaseModel
from torch import Tensor

from ...compat import is_instance
from ...registry import LOGIT_SOURCES
from .base import LogitRows, LogitSource


@LOGIT_SOURCES.register_module()
class ClassifierSource(LogitSource):
    """Image classifiers of mmpretrain: one row of class logits per image."""

    rows_are_images = True

    @classmethod
    def fits(cls, model: BaseModel) -> bool:
        return is_instance(model, 'mmpretrain.models', 'BaseClassifier')

    def check(self, student: BaseModel, teacher: BaseModel, key: str) -> None:
        num_S, num_T = _num_classes(student), _num_classes(teacher)
        if None not in (num_S, num_T) and num_S != num_T:
            raise ValueError(
                f'the student classifies {num_S} classes (model.student.head.'
                f'num_classes) and the teacher {num_T} ({key}.head.num_classes): '
                'they must be the same'
            )

    @contextmanager
    def observe(self, student: BaseModel, data_samples: list) -> Iterator[LogitRows]:
        rows = LogitRows()
        if data_samples and 'gt_score' not in data_samples[0]:
            rows.labels = torch.cat([sample.gt_label for sample in data_samples])

        def record(module, args, output):
            rows.logits = output

        handle = _classifying_module(student).register_forward_hook(record)
        try:
            yield rows
        finally:
            handle.remove()

    def teach(self, teacher: BaseModel, inputs: Tensor, rows: LogitRows) -> LogitRows:
        return LogitRows(teacher(inputs, mode='tensor'))

    def __str__(self) -> str:
        return 'class logits of each image'


def _classifying_module(model: BaseModel) -> torch.nn.Module:
    """The module that returns the logits: the head, or a wrapped timm or
    HuggingFace model."""
    return model.head if getattr(model, 'head', None) is not None else model.model


def _num_classes(model: BaseModel):
    return getattr(_classifying_module(model), 'num_classes', None)
