import inspect
from contextlib import contextmanager
from typing import Any, Iterator, Optional

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ...compat import is_instance
from ...registry import SOURCES
from ..zoom import Zoom
from .base import (
    Rows,
    Source,
    add_background,
    check_matrix,
    class_names,
    only_call,
)

REFUSED = {
    'MultiLabelClsHead': 'says of each class by a sigmoid whether it is there; an '
    'image may have several labels, and the losses compare distributions over classes '
    'of which one is right',
    'MultiTaskHead': 'predicts several tasks at once; distil a classifier of one task',
}


@SOURCES.register_module()
class ClassifierSource(Source):
    """Image classifiers of mmpretrain: one row of class logits per image.

    The logits are those whose softmax a head predicts; of Conformer the sum of its two.
    A head that is trained by sigmoids (``use_sigmoid=True``) weighs each class against
    a logit of 0, so its rows get that as a last column, as in :class:`DenseSource`.
    """

    rows_are_images = True

    @classmethod
    def fits(cls, model: BaseModel) -> bool:
        return is_instance(model, 'mmpretrain.models', 'BaseClassifier')

    def check_model(self, model: BaseModel, key: str) -> None:
        head = getattr(model, 'head', None)
        if head is None:
            if getattr(model, 'model', None) is None:
                raise ValueError(
                    f'{key}.head is None: the {type(model).__name__} gives features '
                    'and no class logits; take a config with a head'
                )
            return  # of another library, wrapped
        problem = _problem(head, is_trained=not key.startswith('model.teacher'))
        if problem:
            raise ValueError(f'{key}.head is a {type(head).__name__}, which {problem}')

    def check(self, student: BaseModel, teacher: BaseModel, key: str) -> None:
        num_S, num_T = _num_classes(student), _num_classes(teacher)
        if None not in (num_S, num_T) and num_S != num_T:
            raise ValueError(
                f'the student classifies {num_S} classes (model.student.head.'
                f'num_classes) and the teacher {num_T} ({key}.head.num_classes): '
                'they must be the same'
            )
        if is_trained_by_sigmoids(student) != is_trained_by_sigmoids(teacher):
            sigmoid, softmax = 'model.student', key
            if is_trained_by_sigmoids(teacher):
                sigmoid, softmax = softmax, sigmoid
            raise ValueError(
                f'{sigmoid} is trained by sigmoids, its head.loss being a '
                f'{type(_loss(student if sigmoid != key else teacher)).__name__}, and '
                f'{softmax} by a softmax: their logits mean different things; give '
                'both the same kind of loss'
            )

    def check_zoom(self, zoom: Zoom, key: str, student: BaseModel) -> None:
        """Any: rows are images."""

    def family(self, model: BaseModel) -> str:
        return class_names(model, _classifying_module(model), _loss(model))

    @contextmanager
    def observe(self, student: BaseModel, data_samples: list) -> Iterator[Rows]:
        rows = Rows()
        if data_samples and 'gt_score' not in data_samples[0]:
            labels = [sample.gt_label for sample in data_samples]
            several = any(label.numel() != 1 for label in labels)
            rows.labels = torch.cat(labels)
        else:  # what mixup mixes sums to 1
            several = is_trained_by_sigmoids(student) and any(
                sample.gt_score.sum() > 1.01 for sample in data_samples
            )
        if several:
            raise ValueError(
                'an image has more or fewer labels than one, and '
                f'{type(_classifying_module(student)).__name__} takes one label each'
            )

        outputs = []

        def record(module, args, output):
            outputs.append(output)

        handle = _classifying_module(student).register_forward_hook(record)
        try:
            yield rows
        finally:
            handle.remove()
        rows.logits = _logits(student, only_call(_name(student), outputs))

    def teach(self, teacher: BaseModel, inputs: Tensor, rows: Rows) -> Rows:
        return Rows(_logits(teacher, teacher(inputs, mode='tensor')))

    def check_rows(self, student: BaseModel, rows: Rows, num_images: int) -> None:
        check_matrix(_name(student), rows, num_images)

    def __str__(self) -> str:
        return 'class logits of each image'


def _problem(head: nn.Module, is_trained: bool) -> Optional[str]:
    """Why a head's logits cannot be taken."""
    for name, problem in REFUSED.items():
        if is_instance(head, 'mmpretrain.models', name):
            return problem
    if not is_instance(head, 'mmpretrain.models', 'ClsHead'):
        return (
            'is no ClsHead of mmpretrain, so what it returns need not be one logit '
            'for each class; a head of your own can subclass it'
        )
    if len(inspect.signature(head.forward).parameters) != 1:
        return (
            'changes its logits by the labels in training, which a teacher is not '
            'given; take a head without a margin, such as LinearClsHead'
        )
    distilled = getattr(head, 'distillation', getattr(head, 'dist', False))
    if is_trained and distilled:
        return (
            'mmpretrain does not train with a second, distilled classifier; set '
            'model.student.head.distillation=False'
        )
    return None


def _classifying_module(model: BaseModel) -> nn.Module:
    """The module that returns the logits: the head, or a wrapped timm or
    HuggingFace model."""
    return model.head if getattr(model, 'head', None) is not None else model.model


def _name(model: BaseModel) -> str:
    return f'model.student: {type(_classifying_module(model)).__name__}'


def _logits(model: BaseModel, output: Any) -> Tensor:
    """The logits whose softmax the model predicts, from what its module returns."""
    output = getattr(output, 'logits', output)  # HuggingFace's objects
    if is_instance(_classifying_module(model), 'mmpretrain.models', 'ConformerHead'):
        output = sum(output)
    if isinstance(output, Tensor) and is_trained_by_sigmoids(model):
        output = add_background(output)
    return output


def _loss(model: BaseModel) -> Optional[nn.Module]:
    """The loss that trains the logits, if it is a part; a wrapped model's wrapper has
    it."""
    head = getattr(model, 'head', None)
    return getattr(model if head is None else head, 'loss_module', None)


def is_trained_by_sigmoids(model: BaseModel) -> bool:
    """Whether each class is weighed by itself."""
    loss = _loss(model)
    loss = getattr(loss, 'ce', loss)  # of label smoothing
    return getattr(loss, 'use_sigmoid', False) or is_instance(
        loss, 'mmpretrain.models', 'FocalLoss'
    )


def _num_classes(model: BaseModel) -> Optional[int]:
    module = _classifying_module(model)
    return getattr(module, 'num_classes', getattr(module, 'num_labels', None))
