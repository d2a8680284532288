from typing import Dict

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmpretrain.models.utils import channel_shuffle
from torch import Tensor, nn

from ...registry import MODELS
from .staged_backbone import BN, StagedBackbone


class ShuffleUnit(BaseModule):
    """Grouped 1 x 1 convolutions around a channel shuffle and a depthwise one.

    A unit of stride 2 concatenates its result and the average-pooled input, in this
    order, so the convolutions make only the channels that are missing. Unlike
    mmpretrain's unit it shuffles before the depthwise convolution, which a ReLU
    follows, and its last ReLU comes after the branches are joined.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output; of stride 1, those of the input.
        stride (int): 1 or 2.
        groups (int): Groups of the last convolution.
        first_groups (int): Groups of the first one and of the shuffle.
        norm_cfg (dict): Defaults to dict(type='BN').
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        groups: int,
        first_groups: int,
        norm_cfg: Dict = BN,
    ) -> None:
        super().__init__()
        self.first_groups = first_groups
        made = out_channels - in_channels if stride == 2 else out_channels
        mid = made // 4
        self.conv1 = ConvModule(
            in_channels, mid, 1, groups=first_groups, norm_cfg=norm_cfg
        )
        self.conv2 = ConvModule(
            mid, mid, 3, stride, padding=1, groups=mid, norm_cfg=norm_cfg
        )
        self.conv3 = ConvModule(
            mid, made, 1, groups=groups, norm_cfg=norm_cfg, act_cfg=None
        )
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        out = channel_shuffle(self.conv1(x), self.first_groups)
        out = self.conv3(self.conv2(out))
        if self.pool is None:
            return self.relu(out + x)
        return self.relu(torch.cat((out, self.pool(x)), dim=1))


@MODELS.register_module()
class CIFARShuffleNetV1(StagedBackbone):
    """ShuffleNetV1 with 3 groups for images of 32 x 32 pixels.

    `ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices
    <https://arxiv.org/abs/1707.01083>`_ in the form of the CIFAR distillation
    benchmark: a stem of one 1 x 1 convolution that does not downsample, then three
    stages that do.

    Args:
        norm_cfg (dict): Defaults to dict(type='BN').
        **kwargs: As :class:`StagedBackbone`. Layers 0 to 2 are the stages, whose
            features have 16, 8 and 4 pixels a side. As in the benchmark,
            torch's own initialisation is the default.
    """

    groups = 3
    # channels, units
    arch_settings = ((240, 4), (480, 8), (960, 4))

    def __init__(self, norm_cfg: Dict = BN, **kwargs) -> None:
        in_channels = 24
        stem = ConvModule(3, in_channels, 1, norm_cfg=norm_cfg)
        layers = []
        for stage, (channels, num_units) in enumerate(self.arch_settings):
            units = []
            for unit in range(num_units):
                # the stem's few channels are not worth grouping
                first = stage == unit == 0
                units.append(
                    ShuffleUnit(
                        in_channels,
                        channels,
                        stride=1 if unit else 2,
                        groups=self.groups,
                        first_groups=1 if first else self.groups,
                        norm_cfg=norm_cfg,
                    )
                )
                in_channels = channels
            layers.append(nn.Sequential(*units))
        super().__init__(stem, layers, **kwargs)
