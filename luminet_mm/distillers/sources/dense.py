import inspect
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, FrozenSet, Iterator, List, Optional, Sequence, Tuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ...checks import check_number
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
from .dense_boxes import (
    box_maps,
    corners,
    deltas,
    has_sides,
    problem_of_boxes,
    sides,
    units,
)
from .priors import (
    QUALITY,
    Pyramids,
    at_chosen,
    check_heads,
    check_octaves,
    confidence,
    flatten,
    highest,
    logit_maps,
    num_priors,
    probability,
    quality_maps,
    quality_of,
    shapes,
    take,
)

CHOICES = ('confident', 'assigned', 'all')
MADE = dict(
    logits='class logits',
    deltas='boxes',
    sides='distributions of sides',
    objectness='objectness',
)


@dataclass
class DenseRows(Rows):
    """Rows that are chosen among the P priors (anchors or points) of each image.

    Attributes:
        deltas (Tensor, optional): The sides of the box of each row, see :func:`deltas`,
            shape (N, 4).
        priors (Tensor, optional): What these are seen from and measured in, in both
            models: the :func:`units` of the student's priors, shape (N, 4).
        sides (Tensor, optional): Logits of the distribution of each side of each row's
            box, rows of their own without labels, see :func:`sides`, shape (4 N, bins).
        objectness (Tensor, optional): Logits of what multiplies the scores of a row in
            testing (centreness, objectness, IoU) and of its contrary, shape (N, 2).
        weights (Tensor, optional): How sure the first teacher is that there is an
            object, shape (N,): what boxes and objectness of a row are worth.
        head (nn.Module, optional): What made the maps.
        maps (list[Tensor]): Its classification maps by level, as logits, shape
            (B, A * C, H, W) with A priors at each location.
        box_maps (list[Tensor]): What it regresses, shape (B, A * D, H, W).
        quality (list[Tensor], optional): See :func:`quality_maps`.
        assigned (Tensor, optional): The class that the student's own loss assigned
            to each prior, shape (B, P); C stands for background. None for heads
            that do not hand a class index of every prior to their ``loss_cls``.
        chosen (Tensor, optional): Which priors are rows, shape (B, P), bool.
    """

    deltas: Optional[Tensor] = None
    priors: Optional[Tensor] = None
    sides: Optional[Tensor] = None
    objectness: Optional[Tensor] = None
    weights: Optional[Tensor] = None
    head: Optional[nn.Module] = None
    maps: List[Tensor] = field(default_factory=list)
    box_maps: List[Tensor] = field(default_factory=list)
    quality: Optional[List[Tensor]] = None
    assigned: Optional[Tensor] = None
    chosen: Optional[Tensor] = None

    def labels_of(self, prediction: str) -> Optional[Tensor]:
        return None if prediction in ('sides', 'objectness') else self.labels

    def weights_of(self, prediction: str) -> Optional[Tensor]:
        if prediction == 'logits':
            return None
        return self.weights.repeat_interleave(4 if prediction == 'sides' else 1)

    def see(
        self, output: Sequence[Any], head: nn.Module, compared: FrozenSet[str]
    ) -> None:
        """Keep the maps of a head's output, while it is in the mode that made them."""
        self.head = head
        self.maps = logit_maps(output[0], head)
        if compared & {'deltas', 'sides'}:
            self.box_maps = box_maps(output, head)
        self.quality = quality_maps(output, head)

    def take(
        self,
        compared: FrozenSet[str],
        chosen: Tensor,
        priors: Optional[Tensor],
        zoom: Optional[Tensor] = None,
    ) -> None:
        """Make rows of the chosen priors, of what is compared.

        Args:
            compared (frozenset[str]): The predictions.
            chosen (Tensor): Shape (B, P), bool.
            priors (Tensor, optional): Units of the boxes, see :attr:`priors`.
            zoom (Tensor, optional): See :func:`corners`. Defaults to None.
        """
        self.logits = take(self.maps, chosen, self.head)
        if 'deltas' in compared:
            boxes = corners(self.box_maps, chosen, self.head, zoom)
            self.deltas = deltas(boxes, priors)
        if 'sides' in compared:
            self.sides = sides(self.box_maps, chosen, self.head)
        if 'objectness' in compared:
            self.objectness = add_background(at_chosen(self.quality, chosen, self.head))


@SOURCES.register_module()
class DenseSource(Source):
    """Dense detectors of mmdet: one row of class logits per chosen prior.

    RetinaNet, FCOS, ATSS, GFL and whatever else predicts a classification map for
    each level at the places of a prior generator, with a mask branch (YOLACT, CondInst)
    or without. Student and teacher are matched level by level, location by location
    and anchor by anchor. Both heads run once; of their maps only the chosen rows are
    ever laid out as a matrix, since a batch has 100,000 priors and more. Maps that are
    probabilities (TOOD) are turned into the logits of these.

    A sigmoid head has no background logit: it weighs each class against a logit of
    0. So that is what its rows get as a last column, a background of logit 0 (and of
    perception 0, as any constant column). Without it a softmax would only see which
    class is the likelier, not whether there is anything at all, and one class alone
    would teach nothing. Rows then look as a two-stage detector's do, background
    last. A softmax head has the column already.

    Besides 'logits', a loss can compare

    - 'deltas': the boxes, by the distances of their four sides from the centre of the
      student's prior in units of its size, whatever a head regresses (deltas of
      anchors, distances of points, distributions);
    - 'sides': of GFL and its like the distributions of these distances themselves, four
      rows of logits a box, so that every loss of logits applies to them (localisation
      distillation);
    - 'objectness': what scores are multiplied by in testing, two columns a row.

    Most priors have no object, and nobody taught the teacher where the box of nothing
    ends. So a row of these is worth as much as the (first) teacher is sure of its
    likeliest class, and 'mean' is over these weights.

    Args:
        rows (str): Which priors are compared. 'confident': of each image those whose
            most likely class has the highest score in the (first) teacher's eyes, as
            in testing: class times centreness, objectness or IoU where its head
            predicts one (FCOS, YOLOX, PAA);
            they are where it has something to say, right or wrong. 'assigned': the
            student's own positives, filled up with others at random. 'all': every
            prior, for small images, since the matrices of both models then have
            P rows each. Defaults to 'confident', which every head allows.
        num_rows (int): Rows per image of the first two choices. Defaults to 512, as
            many as a Faster R-CNN samples.

    Raises:
        TypeError: If ``num_rows`` is no integer.
        ValueError: If ``rows`` is no such choice or ``num_rows`` is below 1.
    """

    pairs_places = True
    predictions = ('logits', 'deltas', 'sides', 'objectness')
    weighed = frozenset(predictions) - {'logits'}

    def __init__(self, rows: str = 'confident', num_rows: int = 512) -> None:
        if rows not in CHOICES:
            raise ValueError(f'model.source.rows={rows!r} must be one of {CHOICES}')
        check_number('model.source.num_rows', num_rows, at_least=1, integer=True)
        self.rows = rows
        self.num_rows = num_rows

    @classmethod
    def fits(cls, model: BaseModel) -> bool:
        if is_instance(model, 'mmdet.models', 'MaskFormer'):
            return False  # by name only: its masks are queries
        return is_instance(model, 'mmdet.models', 'SingleStageDetector') or is_instance(
            model,
            'mmdet.models.detectors.single_stage_instance_seg',
            'SingleStageInstanceSegmentor',
        )

    def check_model(self, model: BaseModel, key: str) -> None:
        head = getattr(model, 'bbox_head', None)
        if head is None:
            raise ValueError(
                f'{key} is a {type(model).__name__} without a bbox_head, so it '
                'predicts no class at priors'
            )
        if is_instance(
            model, 'mmdet.models', 'KnowledgeDistillationSingleStageDetector'
        ):
            raise ValueError(
                f'{key} is a {type(model).__name__}, which has a teacher of its own; '
                'take the plain detector, e.g. a GFL in place of LD'
            )
        problem = _problem(head)
        if problem:
            raise ValueError(
                f'{key}.bbox_head is a {type(head).__name__}, which {problem}'
            )
        no_sides = None if has_sides(head) else 'predicts no distributions'
        no_quality = (
            f'has none of {", ".join(QUALITY)}, so nothing multiplies its scores'
        )
        for prediction, problem in (
            ('deltas', problem_of_boxes(head)),
            ('sides', no_sides),
            ('objectness', None if quality_of(head) else no_quality),
        ):
            if problem and prediction in self.compared:
                raise ValueError(
                    f'{key}.bbox_head is a {type(head).__name__}, which {problem}; '
                    f'remove the loss that compares {prediction!r} from '
                    'model.distill_losses'
                )

    def check(self, student: BaseModel, teacher: BaseModel, key: str) -> None:
        check_heads(
            student.bbox_head,
            teacher.bbox_head,
            'model.student.bbox_head',
            f'{key}.bbox_head',
        )
        heads = (student.bbox_head, teacher.bbox_head)
        quality_S, quality_T = map(quality_of, heads)
        if 'objectness' in self.compared and quality_S != quality_T:
            name_S, name_T = (type(head).__name__ for head in heads)
            raise ValueError(
                f'model.student.bbox_head is a {name_S}, whose scores are multiplied '
                f'by {quality_S}, and {key}.bbox_head a {name_T}, where it is '
                f"{quality_T}: remove the loss that compares 'objectness' from "
                'model.distill_losses'
            )
        bins_S, bins_T = (getattr(head, 'reg_max', None) for head in heads)
        if 'sides' in self.compared and bins_S != bins_T:
            raise ValueError(
                f'the student has distributions up to {bins_S} (model.student.'
                f'bbox_head.reg_max) and the teacher up to {bins_T} ({key}.bbox_head.'
                'reg_max): they must be the same'
            )

    def check_zoom(self, zoom: Zoom, key: str, student: BaseModel) -> None:
        check_octaves(zoom, key, 'the priors of a dense detector', student.bbox_head)

    def family(self, model: BaseModel) -> str:
        head = model.bbox_head
        return class_names(
            model, head, head.prior_generator, getattr(head, 'loss_cls', None)
        )

    @contextmanager
    def observe(self, student: BaseModel, data_samples: list) -> Iterator[DenseRows]:
        head = student.bbox_head
        rows, calls, given = DenseRows(), [], []

        def record_maps(module, args, output):
            # in lists of its own, since FSAF's loss writes into the head's
            calls.append(
                [list(m) if isinstance(m, (list, tuple)) else m for m in output]
            )

        def record_labels(module, args):
            if len(args) > 1:
                scores, labels, *_ = args
                # quality-aware losses take (labels, qualities)
                labels = labels[0] if isinstance(labels, tuple) else labels
                given.append((scores, labels))

        handles = [head.register_forward_hook(record_maps)]
        for name in ('loss_cls', 'initial_loss_cls'):  # TOOD starts with another
            if hasattr(head, name):
                loss = getattr(head, name)
                handles.append(loss.register_forward_pre_hook(record_labels))
        try:
            yield rows
        finally:
            for handle in handles:
                handle.remove()
        output = only_call(f'model.student.bbox_head: {type(head).__name__}', calls)
        rows.see(output, head, self.compared)
        rows.assigned = _by_image(given, output[0], head.cls_out_channels)
        if rows.assigned is None and self.rows == 'assigned':
            raise ValueError(
                f"model.source.rows='assigned': {type(head).__name__} does not assign "
                "a class to every prior, take 'confident' or 'all'"
            )

    def teach(self, teacher: BaseModel, inputs: Tensor, rows: DenseRows) -> DenseRows:
        head = teacher.bbox_head
        taught = DenseRows()
        output = head(teacher.extract_feat(inputs))
        taught.see(output, head, self.compared)
        pyramids = Pyramids(rows.maps, taught.maps, head, rows)
        if rows.chosen is None:
            self._choose(rows, taught, pyramids)
            if 'deltas' in self.compared:
                rows.priors = units(rows.box_maps, rows.chosen, rows.head)
            with torch.enable_grad():  # a teacher is asked without
                rows.take(self.compared, rows.chosen, rows.priors)
            if rows.assigned is not None:
                rows.labels = _in_order(rows.assigned, rows)
        chosen = pyramids.to_teacher(rows.chosen)
        taught.take(self.compared, chosen, rows.priors, rows.zoom)
        return taught

    def check_rows(self, student: BaseModel, rows: DenseRows, num_images: int) -> None:
        head = student.bbox_head
        name = f'model.student.bbox_head: {type(head).__name__}'
        wanted = [
            (num_images, num * head.cls_out_channels)
            for num in head.prior_generator.num_base_priors
        ]
        if [shape[:2] for shape in shapes(rows.maps)] != wanted:
            raise ValueError(
                f'{name} gives maps of shapes {shapes(rows.maps)}; images and channels '
                f'(priors times classes) must be {wanted}'
            )
        check_matrix(name, rows, num_columns=head.num_classes + 1)

    def _choose(self, rows: DenseRows, taught: DenseRows, pyramids: Pyramids) -> None:
        """Say which priors are rows, and what they are worth."""
        head = taught.head
        shared = pyramids.shared
        weighed = self.compared != {'logits'}
        if weighed or self.rows == 'confident':
            score = confidence(taught.maps, head, taught.quality)
            score = pyramids.to_student(score, -torch.inf)
        if self.rows == 'all':
            rows.chosen = shared
        elif self.rows == 'assigned':
            positive = rows.assigned < head.num_classes
            others = torch.rand(positive.shape, device=positive.device)
            chance = (positive + others).masked_fill(~shared, -1)
            rows.chosen = highest(chance, self.num_rows) & shared
        else:
            rows.chosen = highest(score, self.num_rows) & shared
        if weighed:
            rows.weights = _in_order(probability(score, head, taught.quality), rows)

    def __str__(self) -> str:
        made = ', '.join(n for name, n in MADE.items() if name in self.compared)
        if self.rows == 'all':
            return f'{made} of all priors'
        return f'{made} of {self.num_rows} {self.rows} priors an image'


def _problem(head: nn.Module) -> Optional[str]:
    """Why a head's maps cannot be taken."""
    needed = ('num_classes', 'cls_out_channels', 'prior_generator')
    missing = [name for name in needed if not hasattr(head, name)]
    if missing:
        return (
            f'has no {" and no ".join(missing)}, by which RetinaHead, FCOSHead and '
            'their like say where each class is predicted'
        )
    arguments = inspect.signature(head.forward).parameters.values()
    needed = [arg.name for arg in arguments if arg.default is arg.empty]
    if len(needed) != 1:
        return f'predicts from more than features: {", ".join(needed)}'
    return None


def _in_order(by_prior: Tensor, rows: DenseRows) -> Tensor:
    """What each prior has, shape (B, P), in the order of the rows, shape (N,)."""
    sizes = num_priors(rows.maps, rows.head.cls_out_channels)
    pairs = zip(by_prior.split(sizes, dim=1), rows.chosen.split(sizes, dim=1))
    return torch.cat([level[chosen] for level, chosen in pairs])


def _by_image(
    given: List[Tuple[Tensor, Tensor]], maps: List[Tensor], channels: int
) -> Optional[Tensor]:
    """The class assigned to each prior, shape (B, P), or None where there is none.

    Args:
        given (list[tuple]): Scores and labels of each call of a head's ``loss_cls``.
        maps (list[Tensor]): The classification maps that the head returned.
        channels (int): Channels of a prior.
    """
    first = [flatten(level[:, ::channels]) for level in maps]
    by_level = torch.cat([level.flatten() for level in first])
    by_image = torch.cat(first, dim=1)
    # some ask for the loss of their positives before that of all
    for calls in (given, given[-1:]):
        if not calls or any(label.is_floating_point() for _, label in calls):
            continue
        labels = torch.cat([label.flatten() for _, label in calls])
        if len(labels) != by_image.numel():
            continue
        # scores beside the labels tell whose they are: losses differ in their order
        scores = torch.cat([score.reshape(-1, channels)[:, 0] for score, _ in calls])
        if torch.equal(scores, by_level.to(scores)):
            levels = labels.split([level.numel() for level in first])
            return torch.cat([each.view(len(by_image), -1) for each in levels], dim=1)
        if torch.equal(scores, by_image.flatten().to(scores)):
            return labels.view_as(by_image)
    return None
