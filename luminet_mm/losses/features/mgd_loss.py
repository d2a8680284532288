from typing import Any, List, Optional

import torch
from torch import Tensor, nn

from ...checks import check_number, key_of
from ...registry import MODELS
from ..functional import widen
from .feature_loss import Layers
from .map_loss import MapLoss


def mgd_loss(feat_S: Tensor, feat_T: Tensor) -> Tensor:
    r"""Squared error of two maps, a sum over everything but the batch.

    .. math:: \frac{1}{B} \sum (t - s)^2

    with s the map that was generated from the student's: section 3 of `MGD
    <https://arxiv.org/abs/2205.01529>`_, averaged over the batch.

    Args:
        feat_S (Tensor): The generated map, shape (B, C, H, W).
        feat_T (Tensor): The teacher's, of the same shape.

    Returns:
        Tensor: A scalar.
    """
    return (widen(feat_T) - widen(feat_S)).square().sum() / len(feat_S)


def hide_positions(feat: Tensor, ratio: float) -> Tensor:
    """Set random positions of a map to 0, in all channels.

    Args:
        feat (Tensor): Shape (B, C, H, W).
        ratio (float): Probability of each position of each image to be hidden.

    Returns:
        Tensor: Shape (B, C, H, W). The others are not scaled up.
    """
    batch, _, height, width = feat.shape
    return feat * (torch.rand(batch, 1, height, width, device=feat.device) >= ratio)


class MaskedGenerator(nn.Module):
    """Generate the teacher's map from a student's of which positions are hidden.

    A 3x3 convolution, ReLU, and another 3x3, of the map that is left.

    Args:
        align (Module): Brings the student's map to the teacher's channels.
        channels (int): Of the teacher's map.
        mask_ratio (float): See :func:`hide_positions`.
    """

    def __init__(self, align: nn.Module, channels: int, mask_ratio: float) -> None:
        super().__init__()
        self.align = align
        self.generation = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.mask_ratio = mask_ratio

    def forward(self, feat: Tensor) -> Tensor:
        return self.generation(hide_positions(self.align(feat), self.mask_ratio))


@MODELS.register_module()
class MGDLoss(MapLoss):
    """Masked generative distillation: the teacher's map from a part of the student's.

    Published in `Masked Generative Distillation <https://arxiv.org/abs/2205.01529>`_,
    see :func:`mgd_loss` and :class:`MaskedGenerator`; summed over the levels. The
    published runs start the student's neck and head from the teacher's weights and clip
    gradients at a norm of 35.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`. Defaults
            to None, the neck's levels 0 to 3, as published for Faster R-CNN.
        loss_weight (float): Factor of the whole loss. Defaults to 5e-7, as published
            for Faster R-CNN; for RetinaNet it is 2e-5 with all five levels,
            ``layers=[('neck', 'neck')]``, and ``mask_ratio=0.65``.
        mask_ratio (float): Which part of the positions is hidden. Defaults to 0.45, as
            published for Faster R-CNN.

    Raises:
        TypeError, ValueError: If ``mask_ratio`` is not between 0 and 1; and as
            :class:`FeatureLoss`.
    """

    default_layers = (('neck[:4]', 'neck[:4]'),)

    def __init__(
        self,
        layers: Optional[Layers] = None,
        loss_weight: float = 5e-7,
        mask_ratio: float = 0.45,
    ) -> None:
        super().__init__(layers, loss_weight)
        check_number(key_of(self, 'mask_ratio'), mask_ratio, at_least=0, at_most=1)
        self.mask_ratio = mask_ratio

    def connector(self, channels_S: int, channels_T: int) -> nn.Module:
        align = super().connector(channels_S, channels_T)
        return MaskedGenerator(align, channels_T, self.mask_ratio)

    def distance(
        self, feats_S: List[Tensor], feats_T: List[Tensor], **context: Any
    ) -> Tensor:
        return sum(mgd_loss(*pair) for pair in self.pairs(feats_S, feats_T))

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, mask_ratio={self.mask_ratio}'
