from typing import Dict

from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from torch import nn

from ...registry import MODELS
from .staged_backbone import BN, StagedBackbone


@MODELS.register_module()
class MobileNetV1(StagedBackbone):
    """`MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
    Applications <https://arxiv.org/abs/1704.04861>`_ at full width, for ImageNet.

    Args:
        norm_cfg (dict): Defaults to dict(type='BN').
        **kwargs: As :class:`StagedBackbone`. Layers 0 to 4 are the stages, one a
            resolution: strides 2, 4, 8, 16 and 32, with 64, 128, 256, 512 and 1,024
            channels. As in the ImageNet distillation benchmark, torch's own
            initialisation is the default.
    """

    # channels, blocks
    arch_settings = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))

    def __init__(self, norm_cfg: Dict = BN, **kwargs) -> None:
        in_channels = 32
        stem = ConvModule(3, in_channels, 3, stride=2, padding=1, norm_cfg=norm_cfg)
        layers = []
        for stage, (channels, num_blocks) in enumerate(self.arch_settings):
            blocks = []
            for block in range(num_blocks):
                # the stem has halved the image for the first stage
                stride = 2 if stage and not block else 1
                blocks.append(
                    DepthwiseSeparableConvModule(
                        in_channels, channels, 3, stride, padding=1, norm_cfg=norm_cfg
                    )
                )
                in_channels = channels
            layers.append(nn.Sequential(*blocks))
        super().__init__(stem, layers, **kwargs)
