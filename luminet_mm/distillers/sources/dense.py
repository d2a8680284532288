from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Iterator, List, Optional

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ...compat import is_instance
from ...registry import LOGIT_SOURCES
from .base import LogitRows, LogitSource
from .priors import check_heads, check_maps, confidence, highest, num_priors, take

CHOICES = ('confident', 'assigned', 'all')


@dataclass
class DenseRows(LogitRows):
    """Rows that are chosen among the P priors (anchors or points) of each image.

    Attributes:
        maps (list[Tensor]): The student's classification maps by level, shape
            (B, A * C, H, W) with A priors at each location.
        assigned (Tensor, optional): The class that the student's own loss assigned
            to each prior, shape (B, P); C stands for background. None for heads
            that do not hand a class index of every prior to their ``loss_cls``.
        chosen (Tensor, optional): Which priors are rows, shape (B, P), bool.
    """

    maps: List[Tensor] = field(default_factory=list)
    assigned: Optional[Tensor] = None
    chosen: Optional[Tensor] = None


@LOGIT_SOURCES.register_module()
class DenseSource(LogitSource):
    """Dense detectors of mmdet: one row of class logits per chosen prior.

    RetinaNet, FCOS, ATSS, GFL and whatever else predicts a classification map for
    each level. Student and teacher are matched level by level, location by location
    and anchor by anchor. Both heads run once; of their maps only the chosen rows are
    ever laid out as a matrix, since a batch has 100,000 priors and more.

    A sigmoid head has no background logit: it weighs each class against a logit of
    0. So that is what its rows get as a last column, a background of logit 0 (and of
    perception 0, as any constant column). Without it a softmax would only see which
    class is the likelier, not whether there is anything at all, and one class alone
    would teach nothing. Rows then look as a two-stage detector's do, background
    last. A softmax head has the column already.

    Args:
        rows (str): Which priors are compared. 'confident': of each image those whose
            most likely class has the highest logit in the (first) teacher's eyes;
            they are where it has something to say, right or wrong. 'assigned': the
            student's own positives, filled up with others at random. 'all': every
            prior, for small images, since the matrices of both models then have
            P rows each. Defaults to 'confident', which every head allows.
        num_rows (int): Rows per image of the first two choices. Defaults to 512, as
            many as a Faster R-CNN samples.

    Raises:
        ValueError: If ``rows`` is no such choice or ``num_rows`` is below 1.
    """

    def __init__(self, rows: str = 'confident', num_rows: int = 512) -> None:
        if rows not in CHOICES:
            raise ValueError(f'model.source.rows={rows!r} must be one of {CHOICES}')
        if num_rows < 1:
            raise ValueError(f'model.source.num_rows={num_rows} must be at least 1')
        self.rows = rows
        self.num_rows = num_rows

    @classmethod
    def fits(cls, model: BaseModel) -> bool:
        head = getattr(model, 'bbox_head', None)
        return is_instance(model, 'mmdet.models', 'SingleStageDetector') and all(
            hasattr(head, name)
            for name in ('cls_out_channels', 'prior_generator', 'loss_cls')
        )

    def check(self, student: BaseModel, teacher: BaseModel, key: str) -> None:
        check_heads(
            student.bbox_head,
            teacher.bbox_head,
            'model.student.bbox_head',
            f'{key}.bbox_head',
        )

    @contextmanager
    def observe(self, student: BaseModel, data_samples: list) -> Iterator[DenseRows]:
        head = student.bbox_head
        rows, labels = DenseRows(), []

        def record_maps(module, args, output):
            rows.maps = list(output[0])

        def record_labels(module, args):
            # quality-aware losses take (labels, qualities)
            labels.append(args[1][0] if isinstance(args[1], tuple) else args[1])

        handles = [
            head.register_forward_hook(record_maps),
            head.loss_cls.register_forward_pre_hook(record_labels),
        ]
        try:
            yield rows
        finally:
            for handle in handles:
                handle.remove()
        rows.assigned = _by_image(labels, rows.maps, head.cls_out_channels)
        if rows.assigned is None and self.rows == 'assigned':
            raise ValueError(
                f"model.source.rows='assigned': {type(head).__name__} does not assign "
                "a class to every prior, take 'confident' or 'all'"
            )

    def teach(self, teacher: BaseModel, inputs: Tensor, rows: DenseRows) -> DenseRows:
        head = teacher.bbox_head
        maps = list(head(teacher.extract_feat(inputs))[0])
        check_maps(rows.maps, maps)
        if rows.chosen is None:
            rows.chosen = self._choose(maps, rows.assigned, head)
            with torch.enable_grad():  # a teacher is asked without
                rows.logits = take(rows.maps, rows.chosen, head)
            if rows.assigned is not None:
                sizes = num_priors(maps, head.cls_out_channels)
                pairs = (t.split(sizes, dim=1) for t in (rows.assigned, rows.chosen))
                rows.labels = torch.cat([lab[chosen] for lab, chosen in zip(*pairs)])
        return DenseRows(take(maps, rows.chosen, head))

    def _choose(
        self, maps: List[Tensor], assigned: Optional[Tensor], head: nn.Module
    ) -> Tensor:
        """Which priors are rows, shape (B, P), bool."""
        shape = (len(maps[0]), sum(num_priors(maps, head.cls_out_channels)))
        if self.rows == 'all':
            return maps[0].new_ones(shape, dtype=torch.bool)
        if self.rows == 'assigned':
            others = torch.rand(shape, device=maps[0].device)
            score = (assigned < head.num_classes) + others
        else:
            score = confidence(maps, head)
        return highest(score, self.num_rows)

    def __str__(self) -> str:
        if self.rows == 'all':
            return 'class logits of all priors'
        return f'class logits of {self.num_rows} {self.rows} priors an image'


def _by_image(
    labels: List[Tensor], maps: List[Tensor], channels: int
) -> Optional[Tensor]:
    """Labels as upstream's losses flatten them, level by level, in the shape (B, P)."""
    sizes = num_priors(maps, channels)
    num_images = len(maps[0])
    flat = torch.cat([label.flatten() for label in labels]) if labels else None
    if flat is None or flat.is_floating_point() or len(flat) != num_images * sum(sizes):
        return None
    levels = flat.split([num_images * size for size in sizes])
    return torch.cat([level.view(num_images, -1) for level in levels], dim=1)
