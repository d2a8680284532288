from typing import Sequence

from mmpretrain.models.backbones.resnet import BasicBlock
from mmpretrain.models.backbones.resnet_cifar import ResNet_CIFAR

from ...checks import check_boolean, check_number
from ...registry import MODELS
from .staged_backbone import check_layers


@MODELS.register_module()
class CIFARResNet(ResNet_CIFAR):
    """ResNet of three stages for images of 32 x 32 pixels.

    The family of `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_, section 4.2, in the form of the CIFAR
    distillation benchmark: depth 6n + 2, n basic blocks a stage, shortcuts by a
    1 x 1 convolution where the shape changes.

    Args:
        depth (int): Number of layers: 8, 14, 20, 32, 44, 56 or 110.
        stem_channels (int): Channels of the first convolution. Defaults to 16.
        base_channels (int): Channels of the first stage; each later stage has
            twice as many. Defaults to 16. The "x4" forms have a stem of 32
            channels and stages of 64, 128 and 256.
        out_indices (Sequence[int]): Stages, from 0, whose features are returned.
            Defaults to (2,), the last one.
        zero_init_residual (bool): Whether each block starts as the identity.
            Defaults to False, as the benchmark's.
        **kwargs: As mmpretrain's ``ResNet_CIFAR``.

    Raises:
        TypeError, ValueError: If a setting is none of the above.
    """

    arch_settings = {
        6 * blocks + 2: (BasicBlock, (blocks,) * 3) for blocks in (1, 2, 3, 5, 7, 9, 18)
    }

    def __init__(
        self,
        depth: int,
        stem_channels: int = 16,
        base_channels: int = 16,
        out_indices: Sequence[int] = (2,),
        zero_init_residual: bool = False,
        **kwargs,
    ) -> None:
        check_number('backbone.depth', depth, integer=True)
        if depth not in self.arch_settings:
            raise ValueError(
                f'backbone.depth={depth}: it has one of {list(self.arch_settings)}'
            )
        check_number('backbone.stem_channels', stem_channels, at_least=1, integer=True)
        check_number('backbone.base_channels', base_channels, at_least=1, integer=True)
        check_layers(type(self).__name__, out_indices, 3)
        check_boolean('backbone.zero_init_residual', zero_init_residual)
        super().__init__(
            depth,
            stem_channels=stem_channels,
            base_channels=base_channels,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=out_indices,
            zero_init_residual=zero_init_residual,
            **kwargs,
        )
