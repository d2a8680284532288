from typing import Any, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from torch import Tensor, nn

from ...checks import check_number, key_of
from ...registry import MODELS
from ..functional import widen
from .feature_loss import FeatureLoss, Layers

POOLED_SIZES = (4, 2, 1)


def hierarchical_context_loss(feats_S: Tensor, feats_T: Tensor) -> Tensor:
    """Mean squared error of two maps and of their poolings to 4x4, 2x2 and 1x1.

    The map itself has the weight 1, and each pooling half the weight of what comes
    before it; their sum is divided by that of the weights. Poolings that are not
    smaller than the map are left out.

    Args:
        feats_S (Tensor): The student's, shape (B, C, H, W).
        feats_T (Tensor): The teacher's, shape (B, C, H, W).

    Returns:
        Tensor: A scalar.
    """
    feats_S, feats_T = widen(feats_S), widen(feats_T)
    loss = F.mse_loss(feats_S, feats_T)
    weight = total = 1.0
    for size in POOLED_SIZES:
        if size < min(feats_S.shape[2:]):
            weight /= 2
            total += weight
            pooled = (
                F.adaptive_avg_pool2d(feats, size) for feats in (feats_S, feats_T)
            )
            loss = loss + weight * F.mse_loss(*pooled)
    return loss / total


@MODELS.register_module()
class ReviewKDLoss(FeatureLoss):
    r"""Knowledge review: each level of the student, and all above it, learn a level.

    .. math:: \sum_l \mathrm{HCL}(F_l, f^T_l), \quad F_l \text{ of } f^S_l, f^S_{l+1},
              \ldots, f^S_n

    Published in `Distilling Knowledge via Knowledge Review
    <https://arxiv.org/abs/2104.09044>`_; see :class:`AttentionFusion` and
    :func:`hierarchical_context_loss`. Layers go from the shallowest to the deepest;
    'above' is deeper. A vector is a map of 1x1.

    Batch normalisation in the connectors of a vector needs two images in a batch, or
    torch stops.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`. Defaults
            to None, the student's stages against the teacher's before their
            activation, and the vectors before the classifiers: the authors' on
            CIFAR-100. In detectors they take ``[('neck', 'neck')]``.
        mid_channels (int, optional): Channels of the fused maps. Defaults to None,
            those of the student's deepest level, at most 512: the authors' on
            CIFAR-100. They take 256 in detectors.
        loss_weight (float): Factor of the whole loss. Defaults to 1.0; the authors'
            goes from 0.6 to 8 by pair of models. On CIFAR-100 they let it grow from 0
            in the first 20 epochs.

    Raises:
        TypeError, ValueError: If ``mid_channels`` is no integer above 0; and as
            :class:`FeatureLoss`. In ``connect``, for layers from the deepest on; in
            ``forward``, for vectors in a batch of one.
    """

    default_layers = (('stages', 'preactivations'), ('pooled', 'pooled'))
    dims = (4, 2)

    def __init__(
        self,
        layers: Optional[Layers] = None,
        mid_channels: Optional[int] = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(layers, loss_weight)
        if mid_channels is not None:
            key = key_of(self, 'mid_channels')
            check_number(key, mid_channels, above=0, integer=True)
        self.mid_channels = mid_channels

    def connect(
        self, shapes_S: Sequence[Sequence[int]], shapes_T: Sequence[Sequence[int]]
    ) -> None:
        super().connect(shapes_S, shapes_T)
        heights = [shape[2] if len(shape) > 2 else 1 for shape in shapes_S]
        if heights != sorted(heights, reverse=True):
            raise ValueError(
                f'{self.key}={self.layers}: ReviewKDLoss goes from the shallowest to '
                f"the deepest layer, but the student's maps grow there: "
                f'{list(shapes_S)}; name them in another order'
            )
        mid = self.mid_channels or min(512, shapes_S[-1][1])
        last = len(shapes_S) - 1
        self.connectors = nn.ModuleList(
            AttentionFusion(shape_S[1], mid, shape_T[1], fuses=index < last)
            for index, (shape_S, shape_T) in enumerate(zip(shapes_S, shapes_T))
        )

    def distance(
        self, feats_S: List[Tensor], feats_T: List[Tensor], **context: Any
    ) -> Tensor:
        if self.training and len(feats_S[0]) == 1 and get_world_size() == 1:
            if any(feat[0, 0].numel() == 1 for feat in [*feats_S, *feats_T]):
                raise ValueError(
                    'ReviewKDLoss normalises vectors by the statistics of their batch, '
                    'which a batch of one has not; use a batch_size of 2 or more, and '
                    'train_dataloader.drop_last=True where one image is left over'
                )
        levels = list(zip(self.connectors, _maps(feats_S), _maps(feats_T)))
        loss, fused = 0, None
        for fusion, feat_S, feat_T in reversed(levels):  # from the deepest
            mapped, fused = fusion(feat_S, fused, feat_T.shape[2:])
            loss = loss + hierarchical_context_loss(mapped, feat_T)
        return loss

    def extra_repr(self) -> str:
        return f'mid_channels={self.mid_channels}, {super().extra_repr()}'


class AttentionFusion(nn.Module):
    """Join a level of the student with what came from the levels above it.

    Published in `Distilling Knowledge via Knowledge Review
    <https://arxiv.org/abs/2104.09044>`_, Fig. 3 (a). The level and the map from above,
    at the level's size, are added with a weight at each place; both weights come from
    both maps by a 1x1 convolution and a sigmoid.

    Args:
        in_channels (int): The student's channels.
        mid_channels (int): Channels of the fused maps.
        out_channels (int): The teacher's channels.
        fuses (bool): Whether there is a level above; not for the deepest.
    """

    def __init__(
        self, in_channels: int, mid_channels: int, out_channels: int, fuses: bool
    ) -> None:
        super().__init__()
        self.reduce = _conv_norm(in_channels, mid_channels, 1)
        self.expand = _conv_norm(mid_channels, out_channels, 3)
        self.attend = nn.Conv2d(2 * mid_channels, 2, 1) if fuses else None

    def forward(
        self, feat: Tensor, above: Optional[Tensor], size: Sequence[int]
    ) -> Tuple[Tensor, Tensor]:
        """Fuse and map to the teacher's channels and size.

        Args:
            feat (Tensor): The student's level, shape (B, in_channels, H_S, W_S).
            above (Tensor, optional): The fused map of the level above, shape
                (B, mid_channels, h, w); None for the deepest.
            size (Sequence[int]): H_T and W_T of the teacher's map.

        Returns:
            tuple[Tensor, Tensor]: What the teacher's map is compared with, shape
            (B, out_channels, H_T, W_T), and the fused map for the level below, shape
            (B, mid_channels, H_T, W_T).
        """
        fused = self.reduce(feat)
        if self.attend is not None:
            above = _resize(above, feat.shape[2:])
            weights = self.attend(torch.cat([fused, above], dim=1)).sigmoid()
            fused = fused * weights[:, :1] + above * weights[:, 1:]
        fused = _resize(fused, size)
        return self.expand(fused), fused


def _conv_norm(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False
    )
    nn.init.kaiming_uniform_(conv.weight, a=1)  # as the authors; torch has a=sqrt(5)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def _maps(feats: List[Tensor]) -> List[Tensor]:
    """Vectors (B, C) as maps (B, C, 1, 1)."""
    return [feat[..., None, None] if feat.dim() == 2 else feat for feat in feats]


def _resize(feats: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(feats.shape[2:]) == tuple(size):
        return feats
    return F.interpolate(feats, size=tuple(size), mode='nearest')
