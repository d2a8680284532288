from typing import Dict

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...checks import check_number
from ...registry import MODELS
from .staged_backbone import BN, HE_INIT, InitCfg, StagedBackbone


class PreActBlock(BaseModule):
    """Two 3 x 3 convolutions, each after its BN and ReLU, and a shortcut.

    Where the number of channels changes, the shortcut is a 1 x 1 convolution of the
    block's input *after* the first BN and ReLU.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        stride (int): Stride of the first convolution and of the shortcut.
            Defaults to 1.
        norm_cfg (dict): Defaults to dict(type='BN').
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        norm_cfg: Dict = BN,
    ) -> None:
        super().__init__()
        self.norm1 = build_norm_layer(norm_cfg, in_channels)[1]
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm2 = build_norm_layer(norm_cfg, out_channels)[1]
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if in_channels != out_channels:
            self.downsample = nn.Conv2d(
                in_channels, out_channels, 1, stride, bias=False
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        out = self.relu(self.norm1(x))
        shortcut = x if self.downsample is None else self.downsample(out)
        out = self.conv1(out)
        out = self.conv2(self.relu(self.norm2(out)))
        return out + shortcut


@MODELS.register_module()
class WideResNet(StagedBackbone):
    """WRN-d-k: `Wide Residual Networks <https://arxiv.org/abs/1605.07146>`_.

    Three stages of (d - 4) / 6 pre-activation blocks each, without dropout, for
    images of 32 x 32 pixels.

    The distillation benchmark's code calls the first BN of the second and of the third
    stage and the last BN twice in a training step, for features before a ReLU. Outputs
    and gradients are the same, but the running statistics of these three move twice a
    step there, as by a momentum of 0.19, and once here, by 0.1.

    Args:
        depth (int): d, the number of layers: 6n + 4, as 16, 22, 28 or 40.
        widen_factor (int): k; the stages have 16k, 32k and 64k channels. Defaults
            to 1.
        norm_cfg (dict): Defaults to dict(type='BN').
        init_cfg (dict | Sequence[dict]): Defaults to the normal distribution of He
            et al. over a convolution's outputs, as the benchmark's.
        **kwargs: As :class:`StagedBackbone`. Layers 0, 1 and 2 are the stages, whose
            features no ReLU has cut yet (32 x 32, 16 x 16 and 8 x 8 pixels); layer 3,
            the default of ``out_indices``, is the last BN and ReLU.

    Raises:
        ValueError: If ``depth`` is no depth of a WRN.
    """

    def __init__(
        self,
        depth: int,
        widen_factor: int = 1,
        norm_cfg: Dict = BN,
        init_cfg: InitCfg = HE_INIT,
        **kwargs,
    ) -> None:
        check_number('backbone.depth', depth, integer=True)
        check_number('backbone.widen_factor', widen_factor, at_least=1, integer=True)
        num_blocks, rest = divmod(depth - 4, 6)
        if rest or num_blocks < 1:
            raise ValueError(
                f'backbone.depth={depth}: a WRN has 6n + 4 layers, e.g. 16, 28 or 40'
            )
        in_channels, layers = 16, []
        for stride, base_channels in ((1, 16), (2, 32), (2, 64)):
            blocks, channels = [], base_channels * widen_factor
            for index in range(num_blocks):
                blocks.append(
                    PreActBlock(in_channels, channels, 1 if index else stride, norm_cfg)
                )
                in_channels = channels
            layers.append(nn.Sequential(*blocks))
        norm = build_norm_layer(norm_cfg, in_channels)[1]
        layers.append(nn.Sequential(norm, nn.ReLU(inplace=True)))
        stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        super().__init__(stem, layers, init_cfg=init_cfg, **kwargs)
