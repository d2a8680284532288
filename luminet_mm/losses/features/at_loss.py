from typing import Any, List, Optional

import torch.nn.functional as F
from torch import Tensor

from ...registry import MODELS
from ..functional import widen
from .feature_loss import FeatureLoss, Layers


def at_loss(feats_S: Tensor, feats_T: Tensor) -> Tensor:
    r"""Squared distance of two attention maps.

    .. math:: \mathrm{mean}\left((Q^S - Q^T)^2\right), \quad
              Q = q / \lVert q \rVert_2, \quad q_{hw} = \mathrm{mean}_c f_{chw}^2

    Args:
        feats_S (Tensor): The student's, shape (B, C_S, H_S, W_S).
        feats_T (Tensor): The teacher's, shape (B, C_T, H_T, W_T). Where H or W
            differ, the larger map is average-pooled to the smaller.

    Returns:
        Tensor: A scalar, the mean over batch and space. A map of zeros has no
        attention: it gives a Q of zeros and no gradient.
    """
    size = [min(sizes) for sizes in zip(feats_S.shape[2:], feats_T.shape[2:])]
    return F.mse_loss(_attention(feats_S, size), _attention(feats_T, size))


@MODELS.register_module()
class ATLoss(FeatureLoss):
    """Attention transfer: student and teacher look at the same places of an image.

    Published in `Paying More Attention to Attention
    <https://arxiv.org/abs/1612.03928>`_, Eq. 2 with p = 2, with squared distances as
    in the authors' code; see :func:`at_loss`. The sum over all layers, without
    connectors.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`. Defaults
            to None, all stages, the authors' choice.
        loss_weight (float): Factor of the whole loss. Defaults to 1000.0, that of the
            tables on CIFAR-100.

    Raises:
        TypeError, ValueError: As :class:`FeatureLoss`.
    """

    default_layers = (('stages', 'stages'),)

    def __init__(
        self, layers: Optional[Layers] = None, loss_weight: float = 1000.0
    ) -> None:
        super().__init__(layers, loss_weight)

    def distance(
        self, feats_S: List[Tensor], feats_T: List[Tensor], **context: Any
    ) -> Tensor:
        return sum(map(at_loss, feats_S, feats_T))


def _attention(feats: Tensor, size: List[int]) -> Tensor:
    """Maps (B, C, H, W) to normalised attention of ``size``, shape (B, h * w)."""
    feats = widen(feats)
    if list(feats.shape[2:]) != size:
        feats = F.adaptive_avg_pool2d(feats, size)
    return F.normalize(feats.square().mean(dim=1).flatten(1), dim=1)
