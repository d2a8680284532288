import copy
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Iterator, List, Optional, Tuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ...checks import check_number
from ...compat import is_instance
from ...registry import SOURCES
from ..zoom import Zoom
from .base import Rows, Source, check_matrix, class_names
from .priors import (
    Pyramids,
    check_heads,
    check_octaves,
    confidence,
    highest,
    take,
)

STDS = (0.1, 0.1, 0.2, 0.2)  # of the deltas of a Faster R-CNN

REFUSED = {
    'TridentRoIHead': 'is trained on each image once for every branch: its RoIs are of '
    'a batch that the teacher is not given',
    'MultiInstanceRoIHead': 'predicts several objects for each RoI, so that a row is '
    'not an RoI',
}

# what some heads add to the features of RoIs, and their part that makes it
CONTEXT = {'semantic_feat': 'semantic_head', 'glbctx_feat': 'glbctx_head'}


@dataclass
class RoIRows(Rows):
    """Rows that are RoIs.

    Attributes:
        rois (Tensor, optional): The box of each row, shape (N, 5): index of the
            image in the batch, x1, y1, x2, y2 in pixels of the network's input.
        deltas (Tensor, optional): The regression of each row's box for the class of its
            label, shape (N, 4): moves of the centre in widths and heights of the RoI
            and logarithms of its growth, divided by mmdet's usual ``target_stds``
            0.1, 0.1, 0.2, 0.2; zero in rows of background.
        objectness (Tensor, optional): Logits of "object" and of background at M
            anchors, rows of their own without labels, shape (M, 2).
        head (nn.Module, optional): The student's box head.
        bbox_pred (Tensor, optional): What it predicts of the boxes, shape (N, D); None
            once it is known of which class ``deltas`` are.
        rpn_maps (list[Tensor]): The student's maps of objectness, by level.
        chosen (Tensor, optional): Which of the P anchors of each image are compared,
            shape (B, P), bool.
    """

    rois: Optional[Tensor] = None
    deltas: Optional[Tensor] = None
    objectness: Optional[Tensor] = None
    head: Optional[nn.Module] = None
    bbox_pred: Optional[Tensor] = None
    rpn_maps: List[Tensor] = field(default_factory=list)
    chosen: Optional[Tensor] = None

    def labels_of(self, prediction: str) -> Optional[Tensor]:
        return None if prediction == 'objectness' else self.labels


@SOURCES.register_module()
class TwoStageSource(Source):
    """Two-stage detectors of mmdet: one row of class logits per RoI.

    Rows are the RoIs that the student sampled for its own loss, in its own
    order; column C - 1 is background. The student's RoI head runs once, in its
    own ``loss``. The teacher runs backbone, neck and RoI head on those RoIs; its
    RPN runs only if a loss compares the objectness.

    Besides 'logits', a loss can compare 'deltas', the box that each RoI is regressed
    to for the class of its label, and 'objectness', the logits of the RPN at anchors
    of which the first teacher chooses half, the likeliest objects, and chance the
    other half. An RPN by sigmoid gets the background of logit 0 that it implies, as
    in :class:`DenseSource`.

    Faster R-CNN and what subclasses it (Mask R-CNN, Cascade R-CNN, HTC, ...) can be
    on either side, with any sampler. RoIs are boxes in the pixels that both models see,
    so backbones, necks, strides and box regression (class-agnostic or not) may differ.

    Args:
        student_stage (int): For a student with several RoI stages (Cascade
            R-CNN): the stage that learns. Defaults to 0.
        teacher_stage (int): For a teacher with several RoI stages: the stage
            that teaches. Defaults to 0, the stage trained on boxes straight
            from an RPN, which is what a Faster R-CNN student samples.
        num_anchors (int): Anchors of each image whose objectness is compared.
            Defaults to 512, as many as RoIs.

    Raises:
        TypeError: If a number is no integer.
        ValueError: If ``num_anchors`` is below 2 or a stage below 0.
    """

    predictions = ('logits', 'deltas', 'objectness')

    def __init__(
        self, student_stage: int = 0, teacher_stage: int = 0, num_anchors: int = 512
    ) -> None:
        for name, value, lowest in (
            ('student_stage', student_stage, 0),
            ('teacher_stage', teacher_stage, 0),
            ('num_anchors', num_anchors, 2),
        ):
            check_number(f'model.source.{name}', value, at_least=lowest, integer=True)
        self.student_stage = student_stage
        self.teacher_stage = teacher_stage
        self.num_anchors = num_anchors

    @classmethod
    def fits(cls, model: BaseModel) -> bool:
        # Sparse R-CNN is a two-stage detector only by name: its boxes are queries
        return is_instance(model, 'mmdet.models', 'TwoStageDetector') and not (
            is_instance(
                getattr(model, 'roi_head', None), 'mmdet.models', 'SparseRoIHead'
            )
        )

    def check_model(self, model: BaseModel, key: str) -> None:
        roi_head = getattr(model, 'roi_head', None)
        if roi_head is None:
            raise ValueError(
                f'{key}.roi_head is None, and the rows are its RoIs; an RPN alone '
                'gives boxes without classes'
            )
        for name, problem in REFUSED.items():
            if is_instance(roi_head, 'mmdet.models', name):
                raise ValueError(
                    f'{key}.roi_head is a {type(roi_head).__name__}, which {problem}'
                )
        role = 'student' if key == 'model.student' else 'teacher'
        _, head = self._bbox_modules(model, role)
        key = f'{key}.roi_head.bbox_head'
        if not (getattr(head, 'with_cls', True) and hasattr(head, 'loss_cls')):
            raise ValueError(f'{key} is a {type(head).__name__}, which has no classes')
        if getattr(head, 'custom_cls_channels', False):
            raise ValueError(
                f'{key}.loss_cls is a {type(head.loss_cls).__name__}, whose logits are '
                'not one column for each class and one for background; take a head '
                'that is trained by CrossEntropyLoss'
            )
        if 'deltas' in self.compared:
            self._check_boxes(head, key)
        rpn_head = getattr(model, 'rpn_head', None)
        if 'objectness' in self.compared and not is_instance(
            rpn_head, 'mmdet.models', 'RPNHead'
        ):
            raise ValueError(
                f'{key.split(".roi_head")[0]}.rpn_head is a {type(rpn_head).__name__}, '
                'and only the objectness of an RPNHead is compared; remove its loss '
                'from model.distill_losses'
            )

    @staticmethod
    def _check_boxes(head: nn.Module, key: str) -> None:
        coder = head.bbox_coder
        if not getattr(head, 'with_reg', True):
            wrong = f'{key} is a {type(head).__name__} with_reg=False'
        elif not is_instance(coder, 'mmdet.models.task_modules', 'DeltaXYWHBBoxCoder'):
            wrong = f'{key}.bbox_coder is a {type(coder).__name__}'
        else:
            return
        raise ValueError(
            f'{wrong}, and only the boxes of a DeltaXYWHBBoxCoder are compared; remove '
            'the loss of boxes from model.distill_losses'
        )

    def check(self, student: BaseModel, teacher: BaseModel, key: str) -> None:
        _, head_S = self._bbox_modules(student, 'student')
        _, head_T = self._bbox_modules(teacher, 'teacher')
        if head_S.num_classes != head_T.num_classes:
            raise ValueError(
                f'the student detects {head_S.num_classes} classes (model.student.'
                f'roi_head.bbox_head.num_classes) and the teacher {head_T.num_classes} '
                f'({key}.roi_head.bbox_head.num_classes): they must be the same'
            )
        sigmoid_S, sigmoid_T = (
            getattr(head.loss_cls, 'use_sigmoid', False) for head in (head_S, head_T)
        )
        if sigmoid_S != sigmoid_T:
            raise ValueError(
                f'model.student.roi_head.bbox_head.loss_cls.use_sigmoid is {sigmoid_S} '
                f'and {key}.roi_head.bbox_head.loss_cls.use_sigmoid is {sigmoid_T}: '
                'they must be the same for the logits to be comparable'
            )
        if 'objectness' in self.compared:
            check_heads(
                student.rpn_head,
                teacher.rpn_head,
                'model.student.rpn_head',
                f'{key}.rpn_head',
            )

    @property
    def pairs_places(self) -> bool:
        return 'objectness' in self.compared

    def check_zoom(self, zoom: Zoom, key: str, student: BaseModel) -> None:
        """Any of classes and boxes; of objectness, one by which anchors are shifted."""
        if self.pairs_places:
            check_octaves(zoom, key, 'objectness', student.rpn_head)

    def family(self, model: BaseModel) -> str:
        roi_head = model.roi_head
        parts = [roi_head.bbox_head, roi_head.bbox_roi_extractor, roi_head.bbox_sampler]
        if _is_cascade(roi_head):
            parts = [part[0] if part else None for part in parts]
        head, extractor, sampler = parts
        return class_names(
            model,
            roi_head,
            head,
            head.bbox_coder,
            head.loss_cls,
            sampler,
            extractor,
            getattr(model, 'rpn_head', None),
        )

    def for_one(self, role: str) -> 'TwoStageSource':
        stage = getattr(self, f'{role}_stage')
        both = copy.copy(self)
        both.student_stage = both.teacher_stage = stage
        return both

    @contextmanager
    def observe(self, student: BaseModel, data_samples: list) -> Iterator[RoIRows]:
        extractor, head = self._bbox_modules(student, 'student')
        rows, rois, calls, losses = RoIRows(), [], [], []

        def record_rois(module, args):
            rois[:] = [args[1]]

        def record_predictions(module, args, output):
            calls.append((*rois, *output))

        def record_labels(module, args, loss):
            # samplers that look for hard RoIs ask for the loss of each
            if not (isinstance(loss, Tensor) and loss.dim()) and len(args) > 1:
                losses.append(args[:2])

        def record_maps(module, args, output):
            rows.rpn_maps = list(output[0])

        handles = [
            extractor.register_forward_pre_hook(record_rois),
            head.register_forward_hook(record_predictions),
            head.loss_cls.register_forward_hook(record_labels),
        ]
        if 'objectness' in self.compared:
            handles.append(student.rpn_head.register_forward_hook(record_maps))
        try:
            yield rows
        finally:
            for handle in handles:
                handle.remove()
        rows.head = head
        rows.rois, rows.logits, rows.bbox_pred, rows.labels = _of_loss(
            head, calls, losses
        )
        if 'deltas' in self.compared and not self.unlabelled:
            rows.deltas = _deltas(head, rows.bbox_pred, rows.labels)

    def teach(self, teacher: BaseModel, inputs: Tensor, rows: RoIRows) -> RoIRows:
        feats = teacher.extract_feat(inputs)
        roi_head = teacher.roi_head
        stage = [self.teacher_stage] if _is_cascade(roi_head) else []
        context = {
            name: getattr(roi_head, part)(feats)[1]
            for name, part in CONTEXT.items()
            if getattr(roi_head, part, None) is not None
        }
        rois = rows.rois
        if rows.zoom is not None:
            factors = rows.zoom[rois[:, 0].long()].repeat(1, 2)
            rois = torch.cat([rois[:, :1], rois[:, 1:] * factors], dim=1)
        predicted = roi_head._bbox_forward(*stage, feats, rois, **context)
        taught = RoIRows(predicted['cls_score'])
        if 'deltas' in self.compared:
            if self.unlabelled and rows.bbox_pred is not None:
                rows.labels = taught.logits.argmax(dim=1)
                with torch.enable_grad():  # a teacher is asked without
                    rows.deltas = _deltas(rows.head, rows.bbox_pred, rows.labels)
                rows.bbox_pred = None  # the first teacher decides
            _, head = self._bbox_modules(teacher, 'teacher')
            taught.deltas = _deltas(head, predicted['bbox_pred'], rows.labels)
        if 'objectness' in self.compared:
            taught.objectness = self._objectness(teacher.rpn_head, feats, rows)
        return taught

    def check_rows(self, student: BaseModel, rows: RoIRows, num_images: int) -> None:
        _, head = self._bbox_modules(student, 'student')
        name = f'model.student.roi_head.bbox_head: {type(head).__name__}'
        check_matrix(name, rows, len(rows.rois), head.num_classes + 1)
        image = rows.rois[:, 0]
        if len(image) and not 0 <= image.min() <= image.max() < num_images:
            raise ValueError(
                f'{name} is given RoIs of images {int(image.min())} to '
                f'{int(image.max())}, and the batch has {num_images}'
            )

    def _objectness(
        self, head: nn.Module, feats: Tuple[Tensor, ...], rows: RoIRows
    ) -> Tensor:
        """The teacher's, shape (M, 2); the first one chooses the anchors."""
        maps = list(head(feats)[0])
        pyramids = Pyramids(rows.rpn_maps, maps, head, rows)
        if rows.chosen is None:
            score = pyramids.to_student(confidence(maps, head), -torch.inf)
            likely = highest(score, self.num_anchors // 2)
            others = torch.rand(likely.shape, device=likely.device)
            shared = pyramids.shared
            chance = (likely + others).masked_fill(~shared, -1)
            rows.chosen = highest(chance, self.num_anchors) & shared
            with torch.enable_grad():  # a teacher is asked without
                rows.objectness = take(rows.rpn_maps, rows.chosen, head)
        return take(maps, pyramids.to_teacher(rows.chosen), head)

    def _bbox_modules(self, model: BaseModel, role: str) -> Tuple[nn.Module, nn.Module]:
        """RoI extractor and box head, of the chosen stage where there are many."""
        roi_head = model.roi_head
        modules = (roi_head.bbox_roi_extractor, roi_head.bbox_head)
        stages = list(zip(*modules)) if _is_cascade(roi_head) else [modules]
        stage, last = getattr(self, f'{role}_stage'), len(stages) - 1
        if stage > last:
            there_are = f'the stages 0 to {last}' if last else 'one stage, 0'
            raise ValueError(
                f'model.source.{role}_stage={stage}: the {role} has {there_are}'
            )
        return stages[stage]

    def __str__(self) -> str:
        made = 'class logits and boxes' if 'deltas' in self.compared else 'class logits'
        text = f"{made} of the student's sampled RoIs"
        if 'objectness' in self.compared:
            text += f', objectness of {self.num_anchors} anchors an image'
        return text


def _of_loss(
    head: nn.Module, calls: List[tuple], losses: List[tuple]
) -> Tuple[Tensor, Tensor, Optional[Tensor], Tensor]:
    """The call of a head that the student's loss is computed from.

    Args:
        head (nn.Module): The box head.
        calls (list[tuple]): RoIs, logits and whatever else of each of its calls.
        losses (list[tuple]): Logits and labels of each call of its ``loss_cls``.

    Returns:
        tuple: RoIs (N, 5), logits (N, C), boxes as the head predicts them, and labels
        (N,).
    """
    for logits, labels in reversed(losses):
        for rois, cls_score, bbox_pred, *_ in calls:
            if cls_score is logits:
                return rois, cls_score, bbox_pred, labels
    if calls and not len(calls[-1][0]):  # without RoIs upstream computes no loss
        rois, cls_score, bbox_pred, *_ = calls[-1]
        return rois, cls_score, bbox_pred, rois.new_zeros(0, dtype=torch.long)
    raise ValueError(
        f'model.student.roi_head.bbox_head: the loss_cls of {type(head).__name__} is '
        'not given what the head predicts of the RoIs, so these have no labels'
    )


def _deltas(head: nn.Module, bbox_pred: Tensor, labels: Tensor) -> Tensor:
    """The attribute of that name of :class:`RoIRows`, from what a head predicts."""
    deltas = bbox_pred.unflatten(1, (-1, 4))
    if head.reg_class_agnostic:
        deltas = deltas[:, 0]
    else:
        own = labels.clamp(max=head.num_classes - 1)[:, None, None].expand(-1, 1, 4)
        deltas = deltas.gather(1, own)[:, 0]
    coder = head.bbox_coder
    scale = deltas.new_tensor(coder.stds) / deltas.new_tensor(STDS)
    offset = deltas.new_tensor(coder.means) / deltas.new_tensor(STDS)
    background = (labels >= head.num_classes)[:, None]
    return (deltas * scale + offset).masked_fill(background, 0)


def _is_cascade(roi_head: nn.Module) -> bool:
    return isinstance(roi_head.bbox_head, nn.ModuleList)
