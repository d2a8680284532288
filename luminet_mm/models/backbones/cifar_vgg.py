from typing import Dict

from mmcv.cnn import build_norm_layer
from torch import nn

from ...checks import check_number
from ...registry import MODELS
from .staged_backbone import BN, HE_INIT, InitCfg, StagedBackbone


@MODELS.register_module()
class CIFARVGG(StagedBackbone):
    """VGG with BN for images of 32 x 32 pixels.

    The family of `Very Deep Convolutional Networks for Large-Scale Image Recognition
    <https://arxiv.org/abs/1409.1556>`_ in the form of the CIFAR distillation
    benchmark: five stages of 3 x 3 convolutions, max pooling before the second, third
    and fourth only, and nothing between the last features, of 4 x 4 pixels, and their
    global average. mmpretrain's ``VGG`` pools after every stage.

    Args:
        depth (int): 8, 11, 13, 16 or 19, counted with the three linear layers of the
            original, of which one is left, in the head.
        norm_cfg (dict): Defaults to dict(type='BN').
        init_cfg (dict | Sequence[dict]): Defaults to the normal distribution of He
            et al. over a convolution's outputs, as the benchmark's.
        **kwargs: As :class:`StagedBackbone`. Layers 0 to 4 are the stages, whose
            features have 32, 16, 8, 4 and 4 pixels a side.

    Raises:
        ValueError: If ``depth`` is none of the above.
    """

    arch_settings = {
        8: (1, 1, 1, 1, 1),
        11: (1, 1, 2, 2, 2),
        13: (2, 2, 2, 2, 2),
        16: (2, 2, 3, 3, 3),
        19: (2, 2, 4, 4, 4),
    }

    def __init__(
        self,
        depth: int,
        norm_cfg: Dict = BN,
        init_cfg: InitCfg = HE_INIT,
        **kwargs,
    ) -> None:
        check_number('backbone.depth', depth, integer=True)
        if depth not in self.arch_settings:
            raise ValueError(
                f'backbone.depth={depth}: VGG has one of {list(self.arch_settings)}'
            )
        in_channels, layers = 3, []
        for index, num_convs in enumerate(self.arch_settings[depth]):
            channels = min(64 * 2**index, 512)
            stage = [nn.MaxPool2d(2) if index in (1, 2, 3) else nn.Identity()]
            for _ in range(num_convs):
                stage += [
                    nn.Conv2d(in_channels, channels, 3, padding=1),
                    build_norm_layer(norm_cfg, channels)[1],
                    nn.ReLU(inplace=True),
                ]
                in_channels = channels
            layers.append(nn.Sequential(*stage))
        super().__init__(nn.Identity(), layers, init_cfg=init_cfg, **kwargs)
