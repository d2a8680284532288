from typing import Any, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import broadcast
from torch import Tensor, nn

from ...checks import check_boolean, check_number, check_type, key_of
from ...registry import MODELS
from ..functional import kd_loss, widen
from .feature_loss import FeatureLoss, Layers


@MODELS.register_module()
class FCFDLoss(FeatureLoss):
    r"""FCFD: the other model's later layers must read the features as their own.

    Published in `Function-Consistent Feature Distillation
    <https://arxiv.org/abs/2304.11832>`_. Bridges, a convolution and batch
    normalisation, translate the maps of each stage into the teacher's and, of each
    stage but the last, the teacher's into the student's. The loss is

    .. math:: \lambda \sum_l \mathrm{d}(b_l(f^S_l), f^T_l) +
              \sum_{p} \tau^2 \, \mathrm{KL}(\mathrm{softmax}(z^T / \tau) \,||\,
              \mathrm{softmax}(z^p / \tau))

    The first sum, of appearance, has the mean squared error of two maps and, of the
    last stage, also that of what is left of them after a ReLU and global average
    pooling. The second sum, of function, is over two mixed paths, which each step draws
    anew: the student up to some stage, a bridge, and the rest of the teacher; or the
    teacher up to there, a bridge back, and the rest of the student. z are the logits.
    The maps of the teacher's later stages on a mixed path are compared with the
    teacher's own, as part of the first sum.

    The mixed paths run the student's later layers in train mode, but do not move the
    running statistics of their batch normalisation, see
    :class:`luminet_mm.distillers.rest.Rest`, which also says which models this loss is
    for. The teacher is in eval mode; the authors' is frozen, too, but normalises by
    the statistics of the batch.

    The authors let the weight of the first sum grow linearly over 20 epochs;
    ``model.warmup=20`` does so with all distillation losses. Their last stage includes
    a last convolution or BN that follows the last block: name it in ``layers``, as
    'backbone.layer4' of WideResNet and CIFARShuffleNetV2 or 'backbone.layer8' of
    CIFARMobileNetV2. Of VGG and WRN they take maps before the ReLU.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`: layers
            of the two backbones, at least two of each. Defaults to all stages.
        tau (float): Temperature. Defaults to 4.0, the authors' choice for most pairs
            on CIFAR-100; they take 8.0 for ResNet-50 to MobileNetV2 and ResNet32x4 to
            ShuffleNets, and 1.0 on ImageNet.
        appearance_weight (float): lambda. Defaults to 5.0, the authors' choice for most
            pairs; they take 0.02 for ResNet-56 to ResNet-20 and for ResNet-34 to
            ResNet-18 on ImageNet.
        rectified (Sequence[bool]): Whether the student's and the teacher's maps come
            from a ReLU: a bridge to such maps ends in a leaky ReLU of slope 0.1, as the
            authors' does. Defaults to (True, True); False is right for WideResNet and
            CIFARMobileNetV2.
        num_paths (int): Mixed paths a step. Defaults to 2, the authors' choice.
        loss_weight (float): Factor of the whole loss. Defaults to 1.0.

    Raises:
        TypeError, ValueError: If a setting is none of the above. In ``connect``, for
            fewer than two stages, more paths than there are, and maps of which neither
            is equal to, half or twice the size of the other.
    """

    default_layers = (('stages', 'stages'),)
    needs = ('rests',)

    def __init__(
        self,
        layers: Optional[Layers] = None,
        tau: float = 4.0,
        appearance_weight: float = 5.0,
        rectified: Sequence[bool] = (True, True),
        num_paths: int = 2,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(layers, loss_weight)
        check_number(key_of(self, 'tau'), tau, above=0)
        check_number(key_of(self, 'appearance_weight'), appearance_weight, at_least=0)
        key = key_of(self, 'rectified')
        wanted = "two booleans, the student's and the teacher's"
        check_type(key, rectified, (list, tuple), wanted)
        for each in rectified:
            check_boolean(key, each)
        if len(rectified) != 2:
            raise ValueError(f'{key}={rectified!r} must be {wanted}')
        self.paths_key = key_of(self, 'num_paths')
        check_number(self.paths_key, num_paths, at_least=1, integer=True)
        self.tau = tau
        self.appearance_weight = appearance_weight
        self.rectified = tuple(rectified)
        self.num_paths = num_paths

    def connect(
        self, shapes_S: Sequence[Sequence[int]], shapes_T: Sequence[Sequence[int]]
    ) -> None:
        super().connect(shapes_S, shapes_T)
        mixed = len(shapes_S) - 1  # stages after which a path may change the model
        if mixed < 1:
            raise ValueError(
                f'{self.key}={self.layers}: FCFDLoss needs two stages or more, a path '
                'changes the model between them'
            )
        if self.num_paths > 2 * mixed:
            raise ValueError(
                f'{self.paths_key}={self.num_paths}: {mixed + 1} stages have '
                f'{2 * mixed} mixed paths'
            )
        into_S, into_T = self.rectified
        self.to_T, self.to_S = (
            nn.ModuleList(
                self._bridge(*shapes, into) for shapes in zip(sources, targets)
            )
            for sources, targets, into in (
                (shapes_S, shapes_T, into_T),
                (shapes_T[:-1], shapes_S[:-1], into_S),
            )
        )

    def distance(
        self, feats_S: List[Tensor], feats_T: List[Tensor], rests: Sequence[Any]
    ) -> Tensor:
        rest_S, rest_T = rests
        with torch.no_grad():
            logits_T = rest_T(len(feats_T) - 1, feats_T[-1])
        bridged = [bridge(widen(feat)) for bridge, feat in zip(self.to_T, feats_S)]
        appearance = _appearance(bridged, feats_T)
        function = 0
        for stage, from_S in self.draw():
            if from_S:
                *later, logits = rest_T.features(stage, bridged[stage])
                appearance = appearance + _appearance(later, feats_T[stage + 1 :])
            else:
                logits = rest_S(stage, self.to_S[stage](feats_T[stage]))
            function = function + kd_loss(logits, logits_T, self.tau).mean()
        # DistributedDataParallel waits for a gradient of each bridge in each step
        idle = 0 * sum(parameter.sum() for parameter in self.to_S.parameters())
        return self.appearance_weight * appearance + function + idle

    def draw(self) -> List[Tuple[int, bool]]:
        """Draw the mixed paths of a step, the same in all processes.

        SyncBatchNorm has all processes run the same layers.

        Returns:
            list[tuple[int, bool]]: Of each path the stage, from 0, after which it
            changes the model, and whether it starts in the student.
        """
        drawn = torch.randperm(2 * len(self.to_S))[: self.num_paths]
        broadcast(drawn)
        return [(path // 2, path % 2 == 0) for path in drawn.tolist()]

    def _bridge(
        self, source: Sequence[int], target: Sequence[int], rectified: bool
    ) -> nn.Sequential:
        """Translate maps of one shape into maps of another."""
        (_, channels, *size), (_, channels_out, *size_out) = source, target
        if size == size_out:
            conv = nn.Conv2d(channels, channels_out, 3, padding=1, bias=False)
        elif size == [2 * pixels for pixels in size_out]:
            conv = nn.Conv2d(channels, channels_out, 3, stride=2, padding=1, bias=False)
        elif [2 * pixels for pixels in size] == size_out:
            conv = nn.ConvTranspose2d(
                channels, channels_out, 4, stride=2, padding=1, bias=False
            )
        else:
            raise ValueError(
                f'{self.key}={self.layers}: FCFDLoss bridges maps of equal, half or '
                f'twice the size, not {tuple(source)} and {tuple(target)}'
            )
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight, mode='fan_out', nonlinearity='relu')
        parts = [conv, nn.BatchNorm2d(channels_out)]
        return nn.Sequential(*parts, *([nn.LeakyReLU(0.1)] if rectified else []))

    def extra_repr(self) -> str:
        return (
            f'tau={self.tau}, appearance_weight={self.appearance_weight}, '
            f'rectified={self.rectified}, num_paths={self.num_paths}, '
            f'{super().extra_repr()}'
        )


def _appearance(feats: Sequence[Tensor], feats_T: Sequence[Tensor]) -> Tensor:
    """Distance of the teacher's maps of some stages, the last among them, from others.

    Args:
        feats (Sequence[Tensor]): Maps, shape (B, C, H, W).
        feats_T (Sequence[Tensor]): The teacher's own, as many and of the same shapes.

    Returns:
        Tensor: A scalar.
    """
    maps = sum(F.mse_loss(widen(x), y) for x, y in zip(feats, feats_T))
    pooled, pooled_T = (
        F.relu(widen(maps[-1])).mean(dim=(2, 3)) for maps in (feats, feats_T)
    )
    return maps + F.mse_loss(pooled, pooled_T)
