import logging
from typing import Any, List, Optional, Tuple

import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.runner import autocast
from torch import Tensor

from ...checks import check_number, key_of
from ...registry import MODELS
from ..functional import widen
from .feature_loss import FeatureLoss, Layers

EPS = 1e-12  # of a squared distance; the square root has no gradient at 0


def rkd_loss(
    feats_S: Tensor,
    feats_T: Tensor,
    distance_weight: float = 25.0,
    angle_weight: float = 50.0,
) -> Tensor:
    r"""Relations of samples: distances of pairs and angles of triplets.

    .. math:: w_D \, \mathrm{mean}_{ij} \, l_\delta(\psi^S_{ij}, \psi^T_{ij}) +
              w_A \, \mathrm{mean}_{ijk} \, l_\delta(\cos^S_{ijk}, \cos^T_{ijk})

    with :math:`l_\delta` the smooth L1 distance, :math:`\psi_{ij}` the Euclidean
    distance of samples i and j over the mean of all pairs, and
    :math:`\cos_{ijk}` the cosine at i of the angle to j and k.

    Samples that coincide, closer than 1e-6, have the distance 0, form no angle and
    give no gradient.

    Args:
        feats_S (Tensor): The student's vectors, shape (B, C_S).
        feats_T (Tensor): The teacher's vectors, shape (B, C_T).
        distance_weight (float): Weight of the distances. Defaults to 25.0.
        angle_weight (float): Weight of the angles. Defaults to 50.0.

    Returns:
        Tensor: A scalar; zero with a zero gradient for a batch of one.
    """
    distances_S, cosines_S = _relations(widen(feats_S))
    distances_T, cosines_T = _relations(widen(feats_T))
    distance = F.smooth_l1_loss(distances_S, distances_T)
    angle = F.smooth_l1_loss(cosines_S, cosines_T)
    return distance_weight * distance + angle_weight * angle


@MODELS.register_module()
class RKDLoss(FeatureLoss):
    """Relational knowledge distillation: how samples lie to each other.

    Published in `Relational Knowledge Distillation
    <https://arxiv.org/abs/1904.05068>`_, RKD-DA; see :func:`rkd_loss`. It needs no
    connectors. Time and memory grow with B ** 2 * C + B ** 3.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`. Defaults
            to None, the vector before the classifier.
        distance_weight (float): Weight of the distances. Defaults to 25.0, the
            authors' on CIFAR-100.
        angle_weight (float): Weight of the angles. Defaults to 50.0, likewise.
        loss_weight (float): Factor of the whole loss. Defaults to 1.0.

    Raises:
        TypeError, ValueError: If ``distance_weight`` or ``angle_weight`` is negative;
            and as :class:`FeatureLoss`.
    """

    default_layers = (('pooled', 'pooled'),)
    dims = (2,)

    def __init__(
        self,
        layers: Optional[Layers] = None,
        distance_weight: float = 25.0,
        angle_weight: float = 50.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(layers, loss_weight)
        check_number(key_of(self, 'distance_weight'), distance_weight, at_least=0)
        check_number(key_of(self, 'angle_weight'), angle_weight, at_least=0)
        self.distance_weight = distance_weight
        self.angle_weight = angle_weight
        self._has_warned = False

    def distance(
        self, feats_S: List[Tensor], feats_T: List[Tensor], **context: Any
    ) -> Tensor:
        if len(feats_S[0]) == 1 and not self._has_warned:
            self._has_warned = True
            print_log(
                'RKDLoss: a batch of one sample has no relations, so its loss is 0 and '
                'teaches nothing; use a larger batch_size (accumulating gradients does '
                'not help)',
                logger='current',
                level=logging.WARNING,
            )
        return sum(
            rkd_loss(feat_S, feat_T, self.distance_weight, self.angle_weight)
            for feat_S, feat_T in zip(feats_S, feats_T)
        )

    def extra_repr(self) -> str:
        return (
            f'distance_weight={self.distance_weight}, '
            f'angle_weight={self.angle_weight}, {super().extra_repr()}'
        )


def _relations(feats: Tensor) -> Tuple[Tensor, Tensor]:
    """Distances of pairs over their mean, shape (B, B), and cosines, (B, B, B)."""
    # Differences, not a product of matrices: that would lose small distances.
    to_others = feats[None] - feats[:, None]
    squares = to_others.square().sum(dim=2)
    apart = squares > EPS
    lengths = squares.clamp(min=EPS).sqrt()
    directions = to_others / lengths[..., None] * apart[..., None]
    distances = lengths * apart
    mean = distances.sum() / max(len(feats) * (len(feats) - 1), 1)
    # autocast would compute the products in half precision
    with autocast(feats.device.type, enabled=False):
        cosines = directions @ directions.transpose(1, 2)
    return distances / mean.clamp(min=EPS), cosines
