from typing import Dict

from mmcv.cnn import ConvModule
from mmpretrain.models.backbones.shufflenet_v2 import InvertedResidual
from torch import nn

from ...registry import MODELS
from .staged_backbone import BN, StagedBackbone


@MODELS.register_module()
class CIFARShuffleNetV2(StagedBackbone):
    """ShuffleNetV2 of single width for images of 32 x 32 pixels.

    `ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design
    <https://arxiv.org/abs/1807.11164>`_ in the form of the CIFAR distillation
    benchmark: mmpretrain's units after a stem of one 1 x 1 convolution that does not
    downsample.

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
                units.append(
                    InvertedResidual(in_channels, channels, stride, norm_cfg=norm_cfg)
                )
                in_channels = channels
            layers.append(nn.Sequential(*units))
        layers.append(ConvModule(in_channels, 1024, 1, norm_cfg=norm_cfg))
        super().__init__(stem, layers, **kwargs)
