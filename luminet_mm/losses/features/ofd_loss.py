import math
from typing import Any, List, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...registry import MODELS
from ..functional import widen
from .feature_loss import FeatureLoss, Layers

MIN_SHARE = 1e-3  # of the negative numbers of a channel, for a mean of them


def ofd_margin(mean: Tensor, std: Tensor) -> Tensor:
    r"""Expected value of the negative numbers of a normal distribution.

    .. math:: m = \mu - \sigma \, \frac{\phi(\mu / \sigma)}{\Phi(-\mu / \sigma)}

    with the normal density :math:`\phi` and its integral :math:`\Phi`; the margin of
    `OFD <https://arxiv.org/abs/1904.01866>`_. Where next to no number is negative,
    :math:`\Phi \le 0.001`, it is :math:`-3 \sigma`, as in the authors' code.

    Args:
        mean (Tensor): Mean of each channel, a batch normalisation's bias, shape (C,).
        std (Tensor): Its standard deviation, the absolute weight, shape (C,).

    Returns:
        Tensor: m of each channel, shape (C,), not above 0.
    """
    mean, std = widen(mean), widen(std)
    ratio = mean / std.clamp(min=1e-12)
    density = (-ratio.square() / 2).exp() / math.sqrt(2 * math.pi)
    share = torch.erfc(ratio / math.sqrt(2)) / 2
    margin = mean - std * density / share.clamp(min=MIN_SHARE)
    return torch.where(share > MIN_SHARE, margin, -3 * std)


def ofd_loss(feats_S: Tensor, feats_T: Tensor, margin: Tensor) -> Tensor:
    r"""Partial squared distance from the teacher's margin ReLU.

    .. math:: \frac{1}{B} \sum (f^S - t)^2 \; [f^S > t \;\mathrm{or}\; t > 0], \quad
              t = \max(f^T, m)

    What the teacher's ReLU will cut off only needs to stay below: a student that gives
    less there is not pulled up.

    Args:
        feats_S (Tensor): The student's before its activation, shape (B, C, H, W).
        feats_T (Tensor): The teacher's before its activation, shape (B, C, H, W).
        margin (Tensor): Negative margin m of each channel, shape (C,).

    Returns:
        Tensor: A scalar, summed over channels and space, the mean over the batch.
    """
    feats_S = widen(feats_S)
    target = torch.max(widen(feats_T), widen(margin)[:, None, None])
    counts = (feats_S > target) | (target > 0)
    squares = F.mse_loss(feats_S, target, reduction='none')
    return (squares * counts).sum() / len(feats_S)


@MODELS.register_module()
class OFDLoss(FeatureLoss):
    """Overhaul of feature distillation: maps before their activations.

    Published in `A Comprehensive Overhaul of Feature Distillation
    <https://arxiv.org/abs/1904.01866>`_; see :func:`ofd_loss`. Of n layers, number i
    from 0 has the factor 1 / 2 ** (n - 1 - i), as in the authors' code.

    A 1x1 convolution and batch normalisation bring the student's channels to the
    teacher's. The margins come from the teacher's batch normalisation, which
    :meth:`read_norms` reads.

    The authors' teacher normalises with the statistics of the batch; ours, in eval mode
    as for all losses, with those of its own training.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`. Defaults
            to None, all stages before their activation, the authors' choice.
        loss_weight (float): Factor of the whole loss. Defaults to 1e-3, the authors' on
            CIFAR-100; they take 1e-4 on ImageNet.

    Raises:
        TypeError, ValueError: As :class:`FeatureLoss`. In ``connect``, for maps of two
            sizes. In ``read_norms``, for a teacher's map that no batch normalisation
            with weight and bias made.
    """

    default_layers = (('preactivations', 'preactivations'),)

    def __init__(
        self, layers: Optional[Layers] = None, loss_weight: float = 1e-3
    ) -> None:
        super().__init__(layers, loss_weight)

    def connect(
        self, shapes_S: Sequence[Sequence[int]], shapes_T: Sequence[Sequence[int]]
    ) -> None:
        super().connect(shapes_S, shapes_T)
        self.connectors = nn.ModuleList()
        for index, (shape_S, shape_T) in enumerate(zip(shapes_S, shapes_T)):
            if tuple(shape_S[2:]) != tuple(shape_T[2:]):
                raise ValueError(
                    f'{self.key}={self.layers}: OFDLoss compares maps of one H and W, '
                    f'but the student gives {tuple(shape_S)} and the teacher '
                    f'{tuple(shape_T)}; choose layers of equal size'
                )
            channels = shape_T[1]
            conv = nn.Conv2d(shape_S[1], channels, 1, bias=False)
            nn.init.kaiming_normal_(conv.weight, mode='fan_out')
            self.connectors.append(nn.Sequential(conv, nn.BatchNorm2d(channels)))
            # NaN until it is read, so that a loss without margins is seen; it follows
            # from the teacher, so no checkpoint needs it.
            margin = torch.full((channels,), math.nan)
            self.register_buffer(f'margin_{index}', margin, persistent=False)

    def read_norms(self, norms: Sequence[Optional[nn.Module]]) -> None:
        for index, (margin, norm) in enumerate(zip(self._margins(), norms)):
            if (
                not isinstance(norm, _BatchNorm)
                or not norm.affine
                or norm.num_features != len(margin)
            ):
                raise ValueError(
                    f'{self.key}={self.layers}: OFDLoss needs the batch normalisation '
                    f"before the activation of the teacher's map {index}, with weight "
                    f'and bias of {len(margin)} channels, but there is {norm}; choose '
                    "'preactivations' of a teacher with batch normalisation"
                )
            margin.copy_(ofd_margin(norm.bias.detach(), norm.weight.detach().abs()))

    def distance(
        self, feats_S: List[Tensor], feats_T: List[Tensor], **context: Any
    ) -> Tensor:
        mapped = (connector(feat) for connector, feat in zip(self.connectors, feats_S))
        parts = map(ofd_loss, mapped, feats_T, self._margins())
        last = len(feats_S) - 1
        return sum(part / 2 ** (last - index) for index, part in enumerate(parts))

    def _margins(self) -> List[Tensor]:
        """Margin of each layer, shape (C,)."""
        return [getattr(self, f'margin_{i}') for i in range(len(self.connectors))]
