from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from ...checks import check_type, key_of
from ...registry import MODELS
from ..functional import widen
from .feature_loss import Layers
from .ground_truth import boxes_of
from .map_loss import MapLoss


def fgfi_loss(
    feats_S: Sequence[Tensor], feats_T: Sequence[Tensor], masks: Sequence[Tensor]
) -> Tensor:
    r"""Squared error of maps where objects are near.

    .. math:: \frac{1}{2 N} \sum_{l, b, i, j} I_{lbij}
              \sum_c (s_{lbcij} - t_{lbcij})^2, \quad N = \sum_{l, b, i, j} I_{lbij}

    with the mask I of level l: section 3 of `FGFI <https://arxiv.org/abs/1906.03609>`_,
    over several levels.

    Args:
        feats_S (Sequence[Tensor]): The student's map of each level, shape (B, C, H, W).
        feats_T (Sequence[Tensor]): The teacher's, of the same shapes.
        masks (Sequence[Tensor]): Boolean, of each level, shape (B, H, W), see
            :func:`near_object_masks`.

    Returns:
        Tensor: A scalar; 0 with a gradient of 0 where no mask is set.
    """
    count = sum(mask.sum() for mask in masks).clamp(min=1)
    errors = (
        ((widen(feat_S) - widen(feat_T)).square() * mask[:, None]).sum()
        for feat_S, feat_T, mask in zip(feats_S, feats_T, masks)
    )
    return sum(errors) / (2 * count)


def near_object_masks(
    boxes: Sequence[Tensor], anchors: Sequence[Tensor], factor: float = 0.5
) -> List[Tensor]:
    """Find the positions whose anchors nearly cover an object.

    A position is near a box if the overlap (IoU) of one of its anchors with the box is
    above ``factor`` times the largest of all anchors, of whichever level; a mask is set
    near any box. Section 3 of `FGFI <https://arxiv.org/abs/1906.03609>`_.

    Args:
        boxes (Sequence[Tensor]): Ground truth of each of B images, x1, y1, x2, y2,
            shape (G, 4).
        anchors (Sequence[Tensor]): Of each level, A anchors a position, shape
            (H, W, A, 4).
        factor (float): Defaults to 0.5, the paper's.

    Returns:
        list[Tensor]: Boolean, of each level, shape (B, H, W).
    """
    from mmdet.structures.bbox import bbox_overlaps

    rows = torch.cat([level.flatten(0, 2) for level in anchors])
    near = []
    for image_boxes in boxes:
        overlaps = bbox_overlaps(rows, image_boxes)  # (all anchors, G)
        near.append((overlaps > factor * overlaps.amax(dim=0)).any(dim=1))
    levels = torch.stack(near).split([level[..., 0].numel() for level in anchors], 1)
    return [
        near.reshape(-1, *level.shape[:3]).any(dim=3)
        for near, level in zip(levels, anchors)
    ]


@MODELS.register_module()
class FGFILoss(MapLoss):
    """Fine-grained feature imitation: the teacher's features near objects.

    Published in `Distilling Object Detectors with Fine-grained Feature Imitation
    <https://arxiv.org/abs/1906.03609>`_, see :func:`fgfi_loss` and
    :func:`near_object_masks`. A 3x3 convolution with ReLU translates the student's map;
    its weights start from a normal distribution of standard deviation 1e-4.

    The published runs have detectors of one level, and no such loss in the first 400
    iterations. To take the best anchor and the number of positions over all levels
    together is our own choice. The ReLU is theirs, too, whose features are never
    negative; of a neck's features it imitates the positive ones.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`. Defaults
            to None, all levels of the neck.
        loss_weight (float): Factor of the whole loss. Defaults to 0.01, the paper's.
        anchor_generator (dict, optional): Config of an ``AnchorGenerator`` of mmdet,
            with the stride of each level, as of the detector's own head. Defaults to
            None, Faster R-CNN's with a feature pyramid: ``dict(type='AnchorGenerator',
            scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64])``.

    Raises:
        TypeError, ValueError: If ``anchor_generator`` is none; and as
            :class:`FeatureLoss`. In ``connect``, if it has not as many strides as there
            are levels; in ``forward``, if a stride is not that of its level, or a data
            sample has no boxes.
    """

    default_layers = (('neck', 'neck'),)
    needs = ('data_samples', 'image_size')

    def __init__(
        self,
        layers: Optional[Layers] = None,
        loss_weight: float = 0.01,
        anchor_generator: Optional[Dict[str, Any]] = None,
    ) -> None:
        from mmdet.models.task_modules import AnchorGenerator
        from mmdet.registry import TASK_UTILS

        super().__init__(layers, loss_weight)
        if anchor_generator is None:
            anchor_generator = dict(
                type='AnchorGenerator',
                scales=[8],
                ratios=[0.5, 1.0, 2.0],
                strides=[4, 8, 16, 32, 64],
            )
        key, wanted = key_of(self, 'anchor_generator'), 'a config of an AnchorGenerator'
        check_type(key, anchor_generator, dict, wanted)
        try:
            self.anchor_generator = TASK_UTILS.build(
                {'_scope_': 'mmdet', **anchor_generator}
            )
        except Exception as error:  # whatever mmdet finds wrong
            raise ValueError(
                f'{key}={dict(anchor_generator)} must be {wanted}. {error}'
            ) from error
        check_type(key, self.anchor_generator, AnchorGenerator, wanted)
        self.key_strides = f'{key}.strides'

    def connect(
        self, shapes_S: Sequence[Sequence[int]], shapes_T: Sequence[Sequence[int]]
    ) -> None:
        super().connect(shapes_S, shapes_T)
        strides = self.anchor_generator.strides
        if len(strides) != len(shapes_S):
            raise ValueError(
                f'{self.key_strides}={strides} must be as many as there are levels, '
                f'but {self.layers} gives {len(shapes_S)}'
            )

    def connector(self, channels_S: int, channels_T: int) -> nn.Module:
        conv = nn.Conv2d(channels_S, channels_T, 3, padding=1)
        nn.init.normal_(conv.weight, std=1e-4)
        nn.init.zeros_(conv.bias)
        return nn.Sequential(conv, nn.ReLU(inplace=True))

    def distance(
        self,
        feats_S: List[Tensor],
        feats_T: List[Tensor],
        data_samples: Sequence[Any],
        image_size: Tuple[int, int],
    ) -> Tensor:
        boxes = boxes_of(type(self).__name__, data_samples)
        feats_S, feats_T = zip(*self.pairs(feats_S, feats_T))
        sizes = [tuple(feat.shape[2:]) for feat in feats_S]
        self._check_strides(sizes, image_size)
        anchors = [
            level.view(*size, -1, 4)
            for level, size in zip(
                self.anchor_generator.grid_priors(sizes, device=feats_S[0].device),
                sizes,
            )
        ]
        masks = near_object_masks(boxes, anchors)
        return fgfi_loss(feats_S, feats_T, masks)

    def _check_strides(
        self, sizes: Sequence[Sequence[int]], image: Sequence[int]
    ) -> None:
        """Compare what the levels cover to the image, which padding may exceed."""
        for size, strides in zip(sizes, self.anchor_generator.strides):
            for cells, pixels, stride in zip(size, image, strides[::-1]):
                if abs(cells * stride - pixels) > stride + pixels / 3:
                    raise ValueError(
                        f'{self.key_strides}={self.anchor_generator.strides} must be '
                        f'those of the levels, but one of {tuple(size)} positions has '
                        f'{stride} there, for images of {tuple(image)}'
                    )
