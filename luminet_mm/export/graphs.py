"""What is exported: pixels in, predictions out, nothing else to be done by a user."""

import copy
from typing import List, Optional, Tuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..compat import is_instance
from .student import Student
from .tracing import Threshold, make_traceable, score_thresholds, traceable


class ClassifierGraph(nn.Module):
    """An image classifier of mmpretrain, from pixels to logits.

    Args:
        model (BaseModel): The classifier, in eval mode.
        bgr (bool): Whether it is used to images in the order of OpenCV.
    """

    task = 'image classification'
    outputs = ('logits',)

    def __init__(self, model: BaseModel, bgr: bool) -> None:
        super().__init__()
        self.model = model
        self.bgr = bgr

    def forward(self, images: Tensor) -> Tensor:
        """Classify.

        Args:
            images (Tensor): RGB from 0 to 255, shape (N, 3, H, W).

        Returns:
            Tensor: Logits, shape (N, C).
        """
        images = images.flip(1) if self.bgr else images
        data = self.model.data_preprocessor(dict(inputs=images), False)
        return _logits(self.model(data['inputs'], mode='tensor'))

    def own(self, images: Tensor) -> Tuple[Tensor, ...]:
        """What the model itself says of images as a data loader gives them."""
        return (_logits(self.model(self._prepare(images), mode='tensor')),)

    def activation(self, images: Tensor) -> Optional[str]:
        """What makes the model's scores of the logits: 'softmax', 'sigmoid', or None
        for another function."""
        samples = self.model.predict(self._prepare(images))
        scores = torch.stack([sample.pred_score for sample in samples])
        (logits,) = self.own(images)
        for name, made in (
            ('softmax', logits.softmax(-1)),
            ('sigmoid', logits.sigmoid()),
        ):
            if made.shape == scores.shape and torch.allclose(made, scores, atol=1e-5):
                return name
        return None

    def _prepare(self, images: Tensor) -> Tensor:
        """A batch as mmpretrain's loops make it."""
        images = images.flip(1) if self.bgr else images
        data = self.model.data_preprocessor(dict(inputs=list(images)), False)
        return data['inputs']


class DetectorGraph(nn.Module):
    """A detector of mmdet, from pixels to boxes after suppression.

    Args:
        model (BaseModel): The detector, in eval mode.
        bgr (bool): Whether it is used to images in the order of OpenCV.
        shape (tuple[int, int]): Height and width of images.

    Attributes:
        score_thr (Tensor): Score above which a box is kept, if the model has one.
    """

    task = 'object detection'
    outputs = ('boxes', 'scores', 'labels')

    def __init__(self, model: BaseModel, bgr: bool, shape: Tuple[int, int]) -> None:
        super().__init__()
        self.plain = [model]  # not a part of the graph
        self.model = copy.deepcopy(model)
        self.bgr = bgr
        self.shape = shape
        # sizes after padding, which a trace must not follow
        _, (self.sample,) = _prepare(model, torch.zeros(1, 3, *shape), shape)
        make_traceable(self.model)
        cfgs = score_thresholds(self.model)
        values = {float(cfg.score_thr) for cfg in cfgs}
        self.register_buffer('score_thr', torch.tensor(max(values, default=0.0)))
        for cfg in cfgs if len(values) == 1 else ():
            cfg.score_thr = Threshold(self.score_thr)

    def forward(self, images: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Detect.

        Args:
            images (Tensor): RGB from 0 to 255, shape (1, 3, H, W).

        Returns:
            tuple[Tensor, Tensor, Tensor]: Boxes in pixels of the image, shape (n, 4),
            x and y of two corners; scores and labels, shape (n,); surest first.
        """
        images = images.flip(1) if self.bgr else images
        data = self.model.data_preprocessor(dict(inputs=images, data_samples=None))
        with traceable():
            (found,) = self.model.predict(
                data['inputs'], [copy.copy(self.sample)], rescale=False
            )
        found = found.pred_instances
        return found.bboxes, found.scores, found.labels

    def own(
        self, images: Tensor, score_thr: Optional[float] = None
    ) -> Tuple[Tensor, ...]:
        """What the model itself finds in images as a data loader gives them.

        Args:
            images (Tensor): As of :meth:`forward`.
            score_thr (float, optional): In place of the model's. Defaults to None.

        Returns:
            tuple[Tensor, ...]: As of :meth:`forward`.
        """
        (model,) = self.plain
        cfgs = score_thresholds(model)
        values = [cfg.score_thr for cfg in cfgs]
        images = images.flip(1) if self.bgr else images
        inputs, samples = _prepare(model, images, self.shape)
        try:
            for cfg in cfgs if score_thr is not None else ():
                cfg.score_thr = score_thr
            (found,) = model.predict(inputs, samples, rescale=False)
        finally:
            for cfg, value in zip(cfgs, values):
                cfg.score_thr = value
        found = found.pred_instances
        return found.bboxes, found.scores, found.labels


def build_graph(student: Student, shape: Tuple[int, int]) -> nn.Module:
    """The graph of a student.

    Args:
        student (Student): The student.
        shape (tuple[int, int]): Height and width of images.

    Returns:
        Module: The graph, in eval mode.

    Raises:
        ValueError: If it is neither a classifier nor a detector of boxes.
    """
    model, bgr = student.model, _loads_bgr(student)
    other = "export it with --format plain, which upstream's deploy tools take"
    if is_instance(model, 'mmpretrain.models', 'ImageClassifier') or is_instance(
        model, 'mmpretrain.models', 'BaseClassifier'
    ):
        return ClassifierGraph(model, bgr).eval()
    if not is_instance(model, 'mmdet.models', 'BaseDetector'):
        raise ValueError(
            f'{student.config}: a {type(model).__name__} is neither a classifier of '
            f'mmpretrain nor a detector of mmdet; {other}'
        )
    if getattr(model, 'with_mask', False):
        raise ValueError(
            f'{student.config}: a {type(model).__name__} predicts masks, and boxes '
            f'alone are exported; {other}'
        )
    return DetectorGraph(model, bgr, shape).eval()


def _loads_bgr(student: Student) -> bool:
    """Whether images come in the order of OpenCV, as OpenMMLab's loaders have them.

    Arrays that a data set brings itself, as CIFAR's, are RGB.
    """
    pipeline = student.pipeline
    return pipeline is None or any(
        'LoadImage' in str(transform.get('type')) for transform in pipeline
    )


def _logits(output: object) -> Tensor:
    output = getattr(output, 'logits', output)  # HuggingFace's objects
    if isinstance(output, (list, tuple)) and len(output) == 1:
        (output,) = output
    if not isinstance(output, Tensor):
        raise ValueError(
            f'the model gives a {type(output).__name__} and not a matrix of logits; '
            "export it with --format plain, which upstream's deploy tools take"
        )
    return output


def _prepare(
    model: BaseModel, images: Tensor, shape: Tuple[int, int]
) -> Tuple[Tensor, List]:
    """A batch as mmdet's loops make it, of images that nothing was resized in."""
    from mmdet.structures import DetDataSample

    whole = dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0))
    samples = [DetDataSample(metainfo=whole) for _ in images]
    data = dict(inputs=list(images), data_samples=samples)
    data = model.data_preprocessor(data, False)
    return data['inputs'], data['data_samples']
