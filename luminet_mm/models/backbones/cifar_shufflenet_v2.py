from typing import Dict

import torch
from mmcv.cnn import ConvModule
from mmpretrain.models.backbones.shufflenet_v2 import InvertedResidual
from mmpretrain.models.utils import channel_shuffle
from torch import Tensor, nn

from ...registry import MODELS
from .staged_backbone import BN, StagedBackbone


class ShuffleUnitV2(InvertedResidual):
    """mmpretrain's unit, with its last ReLU after both halves are joined.

    One half of the channels was cut by a ReLU before, so the numbers are the same; but
    what goes into this ReLU is the unit's features before their activation.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        stride (int): 1 or 2.
        norm_cfg (dict): Defaults to dict(type='BN').
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, norm_cfg: Dict = BN
    ) -> None:
        super().__init__(in_channels, out_channels, stride, norm_cfg=norm_cfg)
        self.branch2[-1].with_activation = False
        if stride > 1:
            self.branch1[-1].with_activation = False
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        if self.stride > 1:
            halves = self.branch1(x), self.branch2(x)
        else:
            kept, changed = x.chunk(2, dim=1)
            halves = kept, self.branch2(changed)
        return channel_shuffle(self.relu(torch.cat(halves, dim=1)), 2)


@MODELS.register_module()
class CIFARShuffleNetV2(StagedBackbone):
    """ShuffleNetV2 of single width for images of 32 x 32 pixels.

    `ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design
    <https://arxiv.org/abs/1807.11164>`_ in the form of the CIFAR distillation
    benchmark: units like mmpretrain's after a stem of one 1 x 1 convolution that does
    not downsample.

    Args:
        norm_cfg (dict): Defaults to dict(type='BN').
        **kwargs: As :class:`StagedBackbone`. Layers 0 to 2 are the stages, whose
            features have 16, 8 and 4 pixels a side; layer 3, the default of
            ``out_indices``, is the last 1 x 1 convolution. As in the benchmark,
            torch's own initialisation is the default.
    """

    # channels, units
    arch_settings = ((116, 4), (232, 8), (464, 4))

    def __init__(self, norm_cfg: Dict = BN, **kwargs) -> None:
        in_channels = 24
        stem = ConvModule(3, in_channels, 1, norm_cfg=norm_cfg)
        layers = []
        for channels, num_units in self.arch_settings:
            units = []
            for unit in range(num_units):
                stride = 1 if unit else 2
                units.append(ShuffleUnitV2(in_channels, channels, stride, norm_cfg))
                in_channels = channels
            layers.append(nn.Sequential(*units))
        layers.append(ConvModule(in_channels, 1024, 1, norm_cfg=norm_cfg))
        super().__init__(stem, layers, **kwargs)
