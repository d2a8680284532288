"""What of a detector's postprocessing depends on the image, for a trace to hold.

A trace keeps the operators that one image met. mmdet takes branches by how many boxes
are left, and mmcv's suppression is an operator that nobody else knows. Here are the
same steps as torch operators whose sizes may differ from image to image.
"""

import sys
from contextlib import ExitStack, contextmanager
from typing import Any, Iterator, List, Optional, Tuple, Union
from unittest import mock

import torch
import torchvision
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..compat import is_instance

MIN_SIZE, PAD_TO = 'min_bbox_size', 'pad_to'  # what a copy's nms settings hold beside
NMS = {'type', 'iou_threshold', 'class_agnostic', 'split_thr', 'max_num'}


class Threshold:
    """A score threshold that stays a tensor, so that a graph reads it by its name.

    Args:
        value (Tensor): A scalar.
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def __lt__(self, scores: Tensor) -> Tensor:
        """``scores > threshold``, as Python turns it round."""
        return scores > self.value

    def __le__(self, scores: Tensor) -> Tensor:
        """``scores >= threshold``, as Python turns it round."""
        return scores >= self.value

    def __deepcopy__(self, memo: dict) -> 'Threshold':
        # heads copy their settings, and a trace would not follow
        return self


def score_thresholds(model: BaseModel) -> List[dict]:
    """The settings of a detector that hold the score above which a box is kept."""
    cfgs = (getattr(module, 'test_cfg', None) for module in model.modules())
    found = {id(cfg): cfg for cfg in cfgs if isinstance(cfg, dict)}
    return [cfg for cfg in found.values() if 'score_thr' in cfg]


def make_traceable(model: BaseModel) -> None:
    """Change a detector so that its predictions can be traced.

    Args:
        model (BaseModel): A copy, in eval mode.

    Raises:
        ValueError: If it suppresses boxes by what no operator of other runtimes does.
    """
    for head in model.modules():
        cfg = getattr(head, 'test_cfg', None)
        if not isinstance(cfg, dict) or not isinstance(cfg.get('nms'), dict):
            continue
        if MIN_SIZE in cfg.nms:
            continue  # a detector and its head share one
        _check_nms(cfg.nms)
        cfg.nms[MIN_SIZE] = cfg.get(MIN_SIZE, -1)
        cfg[MIN_SIZE] = -1  # mmdet's own way is a branch
        if is_instance(head, 'mmdet.models', 'RPNHead'):
            # as many proposals for each image; the first one, repeated, is suppressed
            # with the boxes that are made of it
            cfg.nms[PAD_TO] = cfg.max_per_img
    for module in model.modules():
        if is_instance(module, 'mmcv.ops', 'RoIAlign'):
            # torchvision knows the average of a bin's samples only
            module.use_torchvision |= module.pool_mode == 'avg'


def _check_nms(nms: dict) -> None:
    nms = dict(nms, iou_threshold=nms.get('iou_threshold', nms.get('iou_thr')))
    others = sorted(set(nms) - NMS - {'iou_thr'})
    if nms.get('type', 'nms') != 'nms' or others:
        raise ValueError(
            f'test_cfg.nms={nms} cannot be exported: NonMaxSuppression, which other '
            "runtimes have, is mmcv's `nms` with an iou_threshold; set that by "
            '--cfg-options, or take --format plain and what upstream deploys'
        )


@contextmanager
def traceable() -> Iterator[None]:
    """Have mmdet predict by operators alone inside a ``with`` block."""
    from mmcv import ops
    from mmdet.models import layers, utils
    from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

    replaced = {
        ops.batched_nms: batched_nms,
        layers.multiclass_nms: multiclass_nms,
        utils.filter_scores_and_topk: filter_scores_and_topk,
    }
    with ExitStack() as stack:
        # heads have imported them by name
        for name, module in list(sys.modules.items()):
            for function, other in replaced.items():
                name_there = function.__name__
                if not name.startswith('mmdet.') or not hasattr(module, name_there):
                    continue
                if getattr(module, name_there) is function:
                    stack.enter_context(mock.patch.object(module, name_there, other))
        stack.enter_context(
            mock.patch.object(SingleRoIExtractor, 'forward', extract_rois)
        )
        yield


def filter_scores_and_topk(
    scores: Tensor,
    score_thr: Union[Threshold, float],
    topk: int,
    results: Optional[Any] = None,
) -> Tuple[Tensor, Tensor, Tensor, Any]:
    """As mmdet's, but always with as many rows: those that have no score above the
    threshold get one below 0, by which :func:`batched_nms` knows them.

    Args:
        scores (Tensor): Shape (P, C); P priors and C classes.
        score_thr (Threshold | float): Score above which a row is kept.
        topk (int): Most rows to keep.
        results (dict[str, Tensor] | list[Tensor] | Tensor, optional): What else there
            is of each prior, shape (P, ...).

    Returns:
        tuple: Scores, labels and priors' indices, shape (n,), and the rows of
        ``results``.
    """
    num_classes = int(scores.shape[1])
    scores = torch.where(scores > score_thr, scores, scores.new_full((), -1))
    scores, order = scores.flatten().topk(min(topk, scores.shape.numel()))
    priors, labels = order // num_classes, order % num_classes
    if isinstance(results, dict):
        results = {name: value[priors] for name, value in results.items()}
    elif isinstance(results, list):
        results = [value[priors] for value in results]
    elif results is not None:
        results = results[priors]
    return scores, labels, priors, results


def multiclass_nms(
    multi_bboxes: Tensor,
    multi_scores: Tensor,
    score_thr: Union[Threshold, float],
    nms_cfg: dict,
    max_num: int = -1,
    score_factors: Optional[Tensor] = None,
    return_inds: bool = False,
    box_dim: int = 4,
) -> tuple:
    """As mmdet's, with :func:`batched_nms`.

    Args:
        multi_bboxes (Tensor): Shape (n, 4) or (n, C * 4).
        multi_scores (Tensor): Shape (n, C + 1); the background is the last column.
        score_thr (Threshold | float): Score above which a box is kept.
        nms_cfg (dict): As of :func:`batched_nms`.
        max_num (int): Most boxes to keep. Defaults to -1, all.
        score_factors (Tensor, optional): Shape (n,). Defaults to None.
        return_inds (bool): Whether indices are returned. Defaults to False.
        box_dim (int): Numbers of a box. Defaults to 4.

    Returns:
        tuple: Boxes with scores, shape (k, 5), labels, shape (k,), and maybe indices.
    """
    scores = multi_scores[:, :-1]
    num_classes = int(scores.shape[1])
    boxes = multi_bboxes.reshape(scores.shape[0], -1, box_dim)
    boxes = boxes.expand(-1, num_classes, box_dim).reshape(-1, box_dim)
    labels = torch.arange(num_classes, device=scores.device).expand_as(scores).flatten()
    valid = scores > score_thr
    if score_factors is not None:
        scores = scores * score_factors[:, None]
    scores = torch.where(valid, scores, scores.new_full((), -1)).flatten()
    dets, keep = batched_nms(boxes, scores, labels, nms_cfg)
    if max_num > 0:
        dets, keep = dets[:max_num], keep[:max_num]
    return (dets, labels[keep], keep) if return_inds else (dets, labels[keep])


def batched_nms(
    boxes: Tensor,
    scores: Tensor,
    idxs: Tensor,
    nms_cfg: Optional[dict],
    class_agnostic: bool = False,
) -> Tuple[Tensor, Tensor]:
    """As mmcv's, by torchvision's suppression, which other runtimes have, too.

    Args:
        boxes (Tensor): Shape (n, 4).
        scores (Tensor): Shape (n,); one below 0 is of no box.
        idxs (Tensor): Shape (n,); boxes of one index suppress each other.
        nms_cfg (dict, optional): mmcv's, beside what :func:`make_traceable` puts there.
        class_agnostic (bool): Whether all boxes do. Defaults to False.

    Returns:
        tuple[Tensor, Tensor]: Boxes with scores, shape (k, 5), by descending scores,
        and their indices, shape (k,).
    """
    if nms_cfg is None:
        scores, keep = scores.sort(descending=True)
        return torch.cat([boxes[keep], scores[:, None]], -1), keep
    valid = scores >= 0
    if nms_cfg.get(MIN_SIZE, -1) >= 0:
        sizes = boxes[:, 2:] - boxes[:, :2]
        valid = valid & (sizes > nms_cfg[MIN_SIZE]).all(-1)
    rows = valid.nonzero()[:, 0]
    apart = boxes[rows]
    if not nms_cfg.get('class_agnostic', class_agnostic):
        # there may be no box
        largest = torch.cat([apart.flatten(), apart.new_zeros(1)]).max()
        apart = apart + (idxs[rows].to(boxes) * (largest + 1))[:, None]
    threshold = nms_cfg.get('iou_threshold', nms_cfg.get('iou_thr'))
    keep = rows[torchvision.ops.nms(apart, scores[rows], threshold)]
    if nms_cfg.get('max_num', -1) > 0:
        keep = keep[: nms_cfg['max_num']]
    if PAD_TO in nms_cfg:
        first = keep[:1].expand(nms_cfg[PAD_TO])
        keep = torch.cat([keep, first])[: nms_cfg[PAD_TO]]
    return torch.cat([boxes[keep], scores[keep, None]], -1), keep


def extract_rois(
    self: nn.Module,
    feats: Tuple[Tensor],
    rois: Tensor,
    roi_scale_factor: Optional[float] = None,
) -> Tensor:
    """As mmdet's ``SingleRoIExtractor.forward``, also where a level has no RoI.

    Args:
        self (Module): The extractor.
        feats (tuple[Tensor]): Feature maps by level.
        rois (Tensor): Shape (n, 5), the image's index first.
        roi_scale_factor (float, optional): By which RoIs grow. Defaults to None.

    Returns:
        Tensor: Shape (n, channels, height, width).
    """
    if len(feats) == 1:
        return self.roi_layers[0](feats[0], rois)
    levels = self.map_roi_levels(rois, len(feats))
    if roi_scale_factor is not None:
        rois = self.roi_rescale(rois, roi_scale_factor)
    size = self.roi_layers[0].output_size
    out = feats[0].new_zeros(rois.shape[0], self.out_channels, *size)
    for level, (layer, feat) in enumerate(zip(self.roi_layers, feats)):
        rows = (levels == level).nonzero()[:, 0]
        out = out.index_put((rows,), layer(feat, rois[rows]))
    return out
