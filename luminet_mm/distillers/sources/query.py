from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, FrozenSet, Iterator, List, Optional, Tuple

import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...checks import check_number
from ...compat import is_instance
from ...registry import SOURCES
from ..pixels import samples_of
from ..zoom import Zoom
from .base import (
    Rows,
    Source,
    add_background,
    check_matrix,
    class_names,
    is_sigmoid,
    only_call,
)

LAYERS = ('last', 'all')


@dataclass
class QueryRows(Rows):
    """Rows that are pairs of queries, one of the student and one of the teacher.

    L is the number of decoder layers that are compared, Q that of a model's queries.

    Attributes:
        deltas (Tensor, optional): Centre, width and height of the box of each row, in
            widths and heights of the image, shape (N, 4).
        weights (Tensor, optional): How sure the first teacher is that there is an
            object, shape (N,): what the box of a row is worth.
        scores (Tensor, optional): Logits of all queries, shape (L, B, Q, C).
        boxes (Tensor, optional): Their boxes, as ``deltas``, shape (L, B, Q, 4).
        assigned (Tensor, optional): The class that the student's own loss assigned
            to each query, shape (L, B, Q); C stands for background. None for heads
            that do not hand it to their ``loss_cls``.
        head (nn.Module, optional): What predicted them.
        samples (list, optional): The batch's data samples.
        targets (list[InstanceData], optional): The predictions of the first teacher
            that all others are matched to, K of each layer and image, as upstream has
            ground truth: ``bboxes`` in pixels and ``labels``.
    """

    deltas: Optional[Tensor] = None
    weights: Optional[Tensor] = None
    scores: Optional[Tensor] = None
    boxes: Optional[Tensor] = None
    assigned: Optional[Tensor] = None
    head: Optional[nn.Module] = None
    samples: Optional[list] = None
    targets: Optional[List[InstanceData]] = None

    def weights_of(self, prediction: str) -> Optional[Tensor]:
        return self.weights if prediction == 'deltas' else None

    def take(self, compared: FrozenSet[str], index: Tensor) -> None:
        """Make rows of some queries.

        Args:
            compared (frozenset[str]): The predictions.
            index (Tensor): Which queries, shape (L, B, K).
        """
        logits = _at(self.scores, index)
        self.logits = add_background(logits) if is_sigmoid(self.head) else logits
        if 'deltas' in compared:
            self.deltas = _at(self.boxes, index)
        if self.assigned is not None:
            self.labels = self.assigned.gather(2, index).flatten()


@SOURCES.register_module()
class QuerySource(Source):
    """Detectors that predict a set, DETR and its family: one row per pair of queries.

    What a query looks for is each model's own affair, so queries are paired by what
    they found: the (first) teacher's predictions take the place of the ground truth in
    upstream's own assignment, by the student's ``train_cfg.assigner``, with its costs
    of class and box. Numbers of queries may differ. A student with its teacher's
    weights is matched to itself: each of its queries is the best for its likeliest
    class and for its box.

    Only the queries that look for objects are compared; those that learn to remove
    noise (DINO) or are dense (DDQ), which only training has, are left out. A sigmoid
    head gets the background of logit 0 that it implies, as in :class:`DenseSource`.

    Besides 'logits', a loss can compare 'deltas': centre, width and height of the boxes
    in units of the image, which the family's own L1 loss compares, with a weight of
    5. A query that found nothing has a box all the same, so a row is worth as much as
    the teacher is sure of its likeliest class, and 'mean' is over these weights.

    Args:
        decoder_layers (str): Which are compared. 'last': the one that is tested. 'all':
            each with the teacher's, which must have as many, matched anew. Defaults to
            'last'.
        num_rows (int, optional): Queries of an image and a layer: those whose most
            likely class has the highest score in the (first) teacher's eyes. None
            stands for all that can be paired. Defaults to 100, as many as most of the
            family keep in testing.

    Raises:
        TypeError: If ``num_rows`` is no integer.
        ValueError: If ``decoder_layers`` is no such choice or ``num_rows`` below 1.
    """

    predictions = ('logits', 'deltas')
    weighed = frozenset({'deltas'})

    def __init__(
        self, decoder_layers: str = 'last', num_rows: Optional[int] = 100
    ) -> None:
        if decoder_layers not in LAYERS:
            raise ValueError(
                f'model.source.decoder_layers={decoder_layers!r} must be one of '
                f'{LAYERS}'
            )
        if num_rows is not None:
            check_number('model.source.num_rows', num_rows, at_least=1, integer=True)
        self.decoder_layers = decoder_layers
        self.num_rows = num_rows

    @classmethod
    def fits(cls, model: BaseModel) -> bool:
        return is_instance(model, 'mmdet.models', 'DetectionTransformer')

    def check_model(self, model: BaseModel, key: str) -> None:
        if is_instance(model, 'mmdet.models', 'GroundingDINO'):
            raise ValueError(
                f'{key} is a {type(model).__name__}, whose logits are of words of a '
                'text and not of classes; take a DINO'
            )

    def check(self, student: BaseModel, teacher: BaseModel, key: str) -> None:
        for what in ('bbox_head.num_classes', 'bbox_head.loss_cls.use_sigmoid') + (
            ('decoder.num_layers',) if self.decoder_layers == 'all' else ()
        ):
            value_S, value_T = map(attrgetter(what), (student, teacher))
            if value_S != value_T:
                raise ValueError(
                    f'model.student.{what} is {value_S} and {key}.{what} is {value_T}: '
                    'they must be the same for the predictions to be comparable'
                    + " with model.source.decoder_layers='all'"
                    * what.startswith('decoder')
                )

    def check_zoom(self, zoom: Zoom, key: str, student: BaseModel) -> None:
        """Any: boxes are in units of the image."""

    def family(self, model: BaseModel) -> str:
        head = model.bbox_head
        return class_names(model, head, head.loss_cls)

    @contextmanager
    def observe(self, student: BaseModel, data_samples: list) -> Iterator[QueryRows]:
        head = student.bbox_head
        rows, outputs, given = QueryRows(samples=data_samples), [], []

        def record_predictions(module, args, output):
            outputs.append(output)

        def record_labels(module, args):
            scores, labels, *_ = args
            # quality-aware losses take (labels, qualities)
            given.append((scores, labels[0] if isinstance(labels, tuple) else labels))

        handles = [
            head.register_forward_hook(record_predictions),
            head.loss_cls.register_forward_pre_hook(record_labels),
        ]
        try:
            yield rows
        finally:
            for handle in handles:
                handle.remove()
        name = f'model.student.bbox_head: {type(head).__name__}'
        self._see(rows, student, only_call(name, outputs))
        rows.assigned = _by_layer(given, rows.scores)

    def teach(self, teacher: BaseModel, inputs: Tensor, rows: QueryRows) -> QueryRows:
        factors = [(1, 1)] * len(inputs) if rows.zoom is None else rows.zoom.tolist()
        samples = samples_of(rows.samples, inputs, factors)
        # boxes are in units of the image, so from here on it has the student's size
        taught = QueryRows(samples=rows.samples)
        self._see(taught, teacher, teacher(inputs, samples, mode='tensor'))
        assigner = rows.head.assigner
        if rows.targets is not None:
            taught.take(self.compared, _match(taught, rows.targets, assigner))
            return taught
        index = self._choose(rows, taught)
        taught.take(self.compared, index)
        rows.targets = _as_truth(taught, index)
        with torch.enable_grad():  # a teacher is asked without
            rows.take(self.compared, _match(rows, rows.targets, assigner))
        return taught

    def check_rows(self, student: BaseModel, rows: QueryRows, num_images: int) -> None:
        head = student.bbox_head
        name = f'model.student.bbox_head: {type(head).__name__}'
        check_matrix(name, rows, num_columns=head.num_classes + 1)

    def _see(self, rows: QueryRows, model: BaseModel, output: Tuple[Any, ...]) -> None:
        """Keep what a model predicted, of the layers and queries that are compared."""
        rows.head = head = model.bbox_head
        dense = head.cache_dict['num_dense_queries'] if _has_dense(head) else 0
        end = output[0].shape[2] - dense
        queries = slice(end - model.num_queries, end)
        layers = slice(-1, None) if self.decoder_layers == 'last' else slice(None)
        rows.scores, rows.boxes = (each[layers, :, queries] for each in output[:2])

    def _choose(self, rows: QueryRows, taught: QueryRows) -> Tensor:
        """The queries of the first teacher that are compared, shape (L, B, K), and what
        they are worth."""
        scores = taught.scores.float()
        if is_sigmoid(taught.head):
            likely = scores.sigmoid()
        else:
            likely = scores.softmax(dim=-1)[..., : taught.head.num_classes]
        num = min(each.scores.shape[2] for each in (rows, taught))
        num = num if self.num_rows is None else min(num, self.num_rows)
        best, index = likely.amax(dim=-1).topk(num, dim=2)
        if self.compared != {'logits'}:
            rows.weights = best.flatten()
        return index

    def __str__(self) -> str:
        made = 'class logits and boxes' if 'deltas' in self.compared else 'class logits'
        num = 'all' if self.num_rows is None else f'{self.num_rows} confident'
        layer = 'the last' if self.decoder_layers == 'last' else 'each'
        return f'{made} of {num} queries an image of {layer} decoder layer, matched'


def _at(values: Tensor, index: Tensor) -> Tensor:
    """Values (L, B, Q, D) of the queries (L, B, K), shape (L * B * K, D)."""
    wide = index.unsqueeze(3).expand(-1, -1, -1, values.shape[3])
    return values.gather(2, wide).flatten(0, 2)


def _has_dense(head: nn.Module) -> bool:
    """Whether queries of another kind come after a head's own (DDQ)."""
    return head.training and is_instance(head, 'mmdet.models', 'DDQDETRHead')


def _instances(rows: QueryRows) -> Iterator[InstanceData]:
    """The predictions of each layer and image, as upstream's assigners want them."""
    for scores, boxes in zip(rows.scores.detach().float(), rows.boxes.detach().float()):
        for score, box, sample in zip(scores, boxes, rows.samples):
            height, width = sample.img_shape[:2]
            half = box[:, 2:] / 2
            box = torch.cat([box[:, :2] - half, box[:, :2] + half], dim=1)
            box = box * box.new_tensor([width, height, width, height])
            yield InstanceData(scores=score, bboxes=box)


def _as_truth(taught: QueryRows, index: Tensor) -> List[InstanceData]:
    """The attribute ``targets`` of :class:`QueryRows`, of the queries (L, B, K)."""
    truth = []
    for instances, places in zip(_instances(taught), index.flatten(0, 1)):
        chosen = instances[places]
        labels = chosen.scores[:, : taught.head.num_classes].argmax(dim=1)
        truth.append(InstanceData(bboxes=chosen.bboxes, labels=labels))
    return truth


def _match(rows: QueryRows, targets: List[InstanceData], assigner: Any) -> Tensor:
    """The queries of a model that are matched to the targets, shape (L, B, K)."""
    num_queries, num_rows = rows.scores.shape[2], len(targets[0])
    if num_queries < num_rows:  # of another teacher than the first
        raise ValueError(
            f'model.source.num_rows: {num_rows} queries are compared, and one teacher '
            f'has only {num_queries}; set it to {num_queries} or less'
        )
    metas = [sample.metainfo for sample in rows.samples] * len(rows.scores)
    places = []
    for instances, target, meta in zip(_instances(rows), targets, metas):
        assigned = assigner.assign(instances, target, img_meta=meta).gt_inds
        places.append(assigned.argsort()[-num_rows:])
    return torch.stack(places).unflatten(0, rows.scores.shape[:2])


def _by_layer(given: List[tuple], scores: Tensor) -> Optional[Tensor]:
    """Which class the loss assigned to each query, shape (L, B, Q), or None.

    Args:
        given (list[tuple]): Scores and labels of each call of a head's ``loss_cls``.
        scores (Tensor): The logits of the queries, shape (L, B, Q, C).
    """
    assigned = []
    for layer in scores.flatten(1, 2):
        labels = [
            labels
            for logits, labels in given
            if logits.shape == layer.shape and torch.equal(logits, layer)
        ]
        if not labels:
            return None
        assigned.append(labels[0].view(scores.shape[1:3]))
    return torch.stack(assigned)
