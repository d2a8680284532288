from typing import Dict

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...checks import check_number
from ...registry import MODELS
from .staged_backbone import BN, HE_INIT, InitCfg, StagedBackbone


class InvertedResidual(BaseModule):
    """Expand by a 1 x 1 convolution, filter depthwise, project without activation.

    mmpretrain's leaves out the expansion where it would not add channels; the
    benchmark's first block has it.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        stride (int): Stride of the depthwise convolution.
        expand_ratio (int): Channels of the depthwise convolution over those of the
            input.
        norm_cfg (dict): Defaults to dict(type='BN').
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        expand_ratio: int,
        norm_cfg: Dict = BN,
    ) -> None:
        super().__init__()
        mid = in_channels * expand_ratio
        self.with_shortcut = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            ConvModule(in_channels, mid, 1, norm_cfg=norm_cfg),
            ConvModule(mid, mid, 3, stride, padding=1, groups=mid, norm_cfg=norm_cfg),
            ConvModule(mid, out_channels, 1, norm_cfg=norm_cfg, act_cfg=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        out = self.conv(x)
        return x + out if self.with_shortcut else out


@MODELS.register_module()
class CIFARMobileNetV2(StagedBackbone):
    """MobileNetV2 for images of 32 x 32 pixels.

    `MobileNetV2: Inverted Residuals and Linear Bottlenecks
    <https://arxiv.org/abs/1801.04381>`_ in the form of the CIFAR distillation
    benchmark. It differs from mmpretrain's ``MobileNetV2`` in that the second stage
    does not downsample, the first block has its expanding convolution, channels are
    multiplied without rounding to eights, and ReLU has no ceiling.

    Args:
        widen_factor (float): Multiplies all channels but the last 1,280, which it can
            only raise. Defaults to 0.5, the benchmark's.
        expand_ratio (int): Expansion of all blocks but the first. Defaults to 6.
        norm_cfg (dict): Defaults to dict(type='BN').
        init_cfg (dict | Sequence[dict]): Defaults to the normal distribution of He
            et al. over a convolution's outputs, as the benchmark's.
        **kwargs: As :class:`StagedBackbone`. Layers 0 to 6 are the stages, whose
            features have 16, 16, 8, 4, 4, 2 and 2 pixels a side; layer 7, the default
            of ``out_indices``, is the last 1 x 1 convolution.
    """

    # channels, blocks, stride
    arch_settings = (
        (16, 1, 1),
        (24, 2, 1),
        (32, 3, 2),
        (64, 4, 2),
        (96, 3, 1),
        (160, 3, 2),
        (320, 1, 1),
    )

    def __init__(
        self,
        widen_factor: float = 0.5,
        expand_ratio: int = 6,
        norm_cfg: Dict = BN,
        init_cfg: InitCfg = HE_INIT,
        **kwargs,
    ) -> None:
        check_number('backbone.widen_factor', widen_factor, above=0)
        check_number('backbone.expand_ratio', expand_ratio, at_least=1, integer=True)
        in_channels = int(32 * widen_factor)
        stem = ConvModule(3, in_channels, 3, stride=2, padding=1, norm_cfg=norm_cfg)
        layers = []
        for index, (channels, num_blocks, stride) in enumerate(self.arch_settings):
            channels, blocks = int(channels * widen_factor), []
            for block in range(num_blocks):
                blocks.append(
                    InvertedResidual(
                        in_channels,
                        channels,
                        1 if block else stride,
                        expand_ratio if index else 1,
                        norm_cfg,
                    )
                )
                in_channels = channels
            layers.append(nn.Sequential(*blocks))
        last_channels = int(1280 * max(widen_factor, 1))
        layers.append(ConvModule(in_channels, last_channels, 1, norm_cfg=norm_cfg))
        super().__init__(stem, layers, init_cfg=init_cfg, **kwargs)
