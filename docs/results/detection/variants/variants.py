"""Other rows, statistics and weights for Faster R-CNN, tried on BCCD and not kept.

What each did is in docs/results/detection.md; `detection.sh bccd` runs them.
"""

from typing import Dict, List, Tuple

import torch
from mmdet.structures.bbox import bbox2roi, bbox_overlaps, get_box_tensor
from torch import Tensor

from luminet_mm.distillers import LogitDistiller
from luminet_mm.losses import kl_divergence, perception
from luminet_mm.registry import MODELS

NUM_EXTRA = 128  # RoIs of each image
JITTER = 0.15  # standard deviation of a corner, in widths and heights of the box


@MODELS.register_module()
class VariantDistiller(LogitDistiller):
    """LumiNet, tau 1 and weight 1, with one thing varied.

    Args:
        extra (str): More RoIs, for distillation only: 'jitter' of the ground truth's
            boxes, 'proposals' before the student samples them, or 'none'.
        stats (str): Rows whose mean and variance make a row's perception: those of the
            'batch', of its 'image', its 'group' of objects or background, or those of
            the 'objects' for all.
        background (float): Weight of rows of background; those of objects have 1.
        drop_column (bool): Whether to leave out the column of background.
    """

    def __init__(
        self,
        *args,
        extra='none',
        stats='batch',
        background=1.0,
        drop_column=False,
        **kw,
    ) -> None:
        super().__init__(*args, **kw)
        self.extra = extra
        self.stats = stats
        self.background = background
        self.drop_column = drop_column

    def loss(self, inputs: Tensor, data_samples: list) -> Dict[str, Tensor]:
        roi_head = self.student.roi_head
        upstream = roi_head.loss
        seen = {}

        def loss(feats, proposals, samples):
            seen.update(feats=feats, proposals=[each.bboxes for each in proposals])
            return upstream(feats, proposals, samples)

        roi_head.loss = loss
        try:
            losses, rows = self._observed_loss(self.student, inputs, data_samples)
        finally:
            del roi_head.loss
        if self.extra != 'none':
            rois, labels = self._extra_rois(seen['proposals'], data_samples)
            logits = roi_head._bbox_forward(seen['feats'], rois)['cls_score']
            rows.rois = torch.cat([rows.rois, rois])
            rows.labels = torch.cat([rows.labels, labels])
            rows.logits = torch.cat([rows.logits, logits])
        preds_T = self._teach(inputs, data_samples, rows).logits
        objects = rows.labels < roi_head.bbox_head.num_classes
        groups = self._groups(rows.rois, objects)
        last = -1 if self.drop_column else None
        values = kl_divergence(
            *(self._perception(z[:, :last], groups) for z in (rows.logits, preds_T))
        )
        weight = torch.where(objects, 1.0, self.background)
        losses['loss_luminet'] = (
            self._warmup_factor() * (values * weight).sum() / weight.sum().clamp(min=1)
        )
        return losses

    def _extra_rois(
        self, proposals: List[Tensor], data_samples: list
    ) -> Tuple[Tensor, Tensor]:
        """RoIs, shape (N, 5), and their labels by an IoU of 0.5, shape (N,)."""
        rois, labels = [], []
        for boxes, sample in zip(proposals, data_samples):
            gt = get_box_tensor(sample.gt_instances.bboxes)
            if self.extra == 'proposals':
                boxes = boxes.detach()[torch.randperm(len(boxes))[:NUM_EXTRA]]
            else:
                boxes = gt.repeat(max(NUM_EXTRA // max(len(gt), 1), 1), 1)
                size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
                boxes = boxes + torch.randn_like(boxes) * JITTER * size
                height, width = sample.img_shape
                boxes[:, 0::2].clamp_(0, width)
                boxes[:, 1::2].clamp_(0, height)
                boxes = boxes[(boxes[:, 2:] - boxes[:, :2] > 4).all(dim=1)]
            label = boxes.new_full(
                (len(boxes),), self.student.roi_head.bbox_head.num_classes
            ).long()
            if len(gt) and len(boxes):
                iou, nearest = bbox_overlaps(boxes, gt).max(dim=1)
                near = iou >= 0.5
                label[near] = sample.gt_instances.labels[nearest[near]]
            rois.append(boxes)
            labels.append(label)
        return bbox2roi(rois), torch.cat(labels)

    def _groups(self, rois: Tensor, objects: Tensor) -> List[Tuple[Tensor, Tensor]]:
        """Pairs of rows, and the rows whose statistics they take, as masks."""
        everything = torch.ones_like(objects)
        if self.stats == 'image':
            masks = [rois[:, 0] == image for image in rois[:, 0].unique()]
            return [(mask, mask) for mask in masks]
        if self.stats == 'group':
            return [(mask, mask) for mask in (objects, ~objects) if mask.any()]
        if self.stats == 'objects' and objects.sum() > 1:
            return [(everything, objects)]
        return [(everything, everything)]

    def _perception(
        self, logits: Tensor, groups: List[Tuple[Tensor, Tensor]]
    ) -> Tensor:
        out = torch.zeros_like(logits)
        for rows, measured in groups:
            if rows is measured:
                out[rows] = perception(logits[rows])
            else:
                var, mean = torch.var_mean(logits[measured], dim=0, unbiased=False)
                out[rows] = (logits[rows] - mean) * torch.rsqrt(var + 1e-5)
        return out
