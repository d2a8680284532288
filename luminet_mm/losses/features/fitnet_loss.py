from typing import Any, List, Optional, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ...checks import check_boolean, key_of
from ...registry import MODELS
from ..functional import widen
from .feature_loss import FeatureLoss, Layers


def fitnet_loss(feats_S: Tensor, feats_T: Tensor) -> Tensor:
    """Mean squared error of two maps.

    Args:
        feats_S (Tensor): The student's after its regressor, shape (B, C, H, W).
        feats_T (Tensor): The teacher's, shape (B, C, H, W).

    Returns:
        Tensor: A scalar.

    Raises:
        ValueError: If the two shapes differ.
    """
    if feats_S.shape != feats_T.shape:
        raise ValueError(
            "FitNetLoss compares maps of one shape, but the student's regressor gives "
            f'{tuple(feats_S.shape)} and the teacher {tuple(feats_T.shape)}: where '
            'neither size is equal to the other or twice it, all images must have the '
            'size that the regressor was made for'
        )
    return F.mse_loss(widen(feats_S), widen(feats_T))


@MODELS.register_module()
class FitNetLoss(FeatureLoss):
    r"""FitNet: the student's maps are regressed to the teacher's.

    .. math:: \sum_l \mathrm{mean}\left((r_l(f^S_l) - f^T_l)^2\right)

    Published in `FitNets: Hints for Thin Deep Nets
    <https://arxiv.org/abs/1412.6550>`_, Eq. 3, as a stage of training before
    distillation. The tables of later papers have it as a loss beside cross-entropy.

    The regressor r, one for each layer, is a convolution, batch normalisation and a
    ReLU. The convolution has 1x1 taps where both maps have one size, 3x3 and stride 2
    where the student's is twice the teacher's, transposed 4x4 and stride 2 where it is
    half of it. Otherwise a larger map of s is brought to t by 1 + s - t taps, which
    needs images of one size.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`. Defaults
            to None, the second stage, that of the tables on CIFAR-100.
        relu (bool): Whether r ends in a ReLU. Defaults to True, as published; with
            False it reaches negative numbers, which the maps of a neck have.
        loss_weight (float): Factor of the whole loss. Defaults to 100.0, that of the
            tables on CIFAR-100.

    Raises:
        TypeError, ValueError: As :class:`FeatureLoss`. In ``connect``, for a student's
            map that is smaller than the teacher's and not half of it.
    """

    default_layers = (('stages[1]', 'stages[1]'),)

    def __init__(
        self,
        layers: Optional[Layers] = None,
        relu: bool = True,
        loss_weight: float = 100.0,
    ) -> None:
        super().__init__(layers, loss_weight)
        check_boolean(key_of(self, 'relu'), relu)
        self.relu = relu

    def connect(
        self, shapes_S: Sequence[Sequence[int]], shapes_T: Sequence[Sequence[int]]
    ) -> None:
        super().connect(shapes_S, shapes_T)
        self.connectors = nn.ModuleList(map(self._regressor, shapes_S, shapes_T))

    def distance(
        self, feats_S: List[Tensor], feats_T: List[Tensor], **context: Any
    ) -> Tensor:
        regressed = (
            regressor(feat) for regressor, feat in zip(self.connectors, feats_S)
        )
        return sum(map(fitnet_loss, regressed, feats_T))

    def _regressor(
        self, shape_S: Sequence[int], shape_T: Sequence[int]
    ) -> nn.Sequential:
        _, channels_S, *size_S = shape_S
        _, channels_T, *size_T = shape_T
        if size_S == [2 * size for size in size_T]:
            conv = nn.Conv2d(channels_S, channels_T, 3, stride=2, padding=1)
        elif [2 * size for size in size_S] == size_T:
            conv = nn.ConvTranspose2d(channels_S, channels_T, 4, stride=2, padding=1)
        elif all(s >= t for s, t in zip(size_S, size_T)):
            taps = [1 + s - t for s, t in zip(size_S, size_T)]
            conv = nn.Conv2d(channels_S, channels_T, taps)
        else:
            raise ValueError(
                f'{self.key}={self.layers}: FitNetLoss cannot enlarge a map of the '
                f'student, {tuple(shape_S)}, to that of the teacher, '
                f'{tuple(shape_T)}; choose layers where H and W are equal, or the '
                "student's are half of the teacher's or larger than them"
            )
        parts = [conv, nn.BatchNorm2d(channels_T)]
        return nn.Sequential(*parts, *([nn.ReLU()] if self.relu else []))

    def extra_repr(self) -> str:
        return f'relu={self.relu}, {super().extra_repr()}'
