"""Where the stages of a backbone end, by the names of its modules.

A backbone of another kind is a function here, and a line in :data:`KINDS`.
"""

from typing import Callable, Dict, List, NamedTuple, Optional

from torch import nn


class Stage(NamedTuple):
    """One stage of a backbone.

    Attributes:
        output (str): The module that gives its features.
        preactivation (str): The place of its features before their last ReLU, as
            :class:`Tap` takes it; the output where no ReLU ends the stage.
        norm (str): The batch normalisation that made these.
    """

    output: str
    preactivation: str
    norm: str


def find_stages(backbone: nn.Module) -> Optional[List[Stage]]:
    """Stages of a backbone, the finest first.

    Args:
        backbone (nn.Module): Of any kind.

    Returns:
        list[Stage] | None: Names are relative to the backbone; None for a kind that is
        not in :data:`KINDS`.
    """
    for cls in type(backbone).__mro__:
        if cls.__name__ in KINDS:
            return KINDS[cls.__name__](backbone)
    return None


def _resnet(backbone: nn.Module) -> Optional[List[Stage]]:
    stages = []
    for layer in getattr(backbone, 'res_layers', ()):
        last = len(getattr(backbone, layer)) - 1
        block = getattr(backbone, layer)[last]
        norm = getattr(block, 'norm3_name', getattr(block, 'norm2_name', None))
        if norm is None or not hasattr(block, 'relu'):
            return None
        path = f'{layer}.{last}'
        stages.append(Stage(layer, f'{path}.relu.input', f'{path}.{norm}'))
    return stages or None


def _wide_resnet(backbone: nn.Module) -> List[Stage]:
    norms = ('layer2.0.norm1', 'layer3.0.norm1', 'layer4.0')
    return [Stage(f'layer{i + 1}', norm, norm) for i, norm in enumerate(norms)]


def _vgg(backbone: nn.Module) -> List[Stage]:
    stages = []
    for layer in ('layer2', 'layer3', 'layer4', 'layer5'):
        last = len(getattr(backbone, layer)) - 1
        relu, norm = f'{layer}.{last}.input', f'{layer}.{last - 1}'
        stages.append(Stage(layer, relu, norm))
    return stages


def _mobilenet_v1(backbone: nn.Module) -> List[Stage]:
    stages = []
    for layer in ('layer2', 'layer3', 'layer4', 'layer5'):
        last = len(getattr(backbone, layer)) - 1
        conv = f'{layer}.{last}.pointwise_conv'
        stages.append(Stage(layer, f'{conv}.activate.input', f'{conv}.bn'))
    return stages


def _mobilenet_v2(backbone: nn.Module) -> List[Stage]:
    stages = []
    for layer in ('layer2', 'layer3', 'layer5', 'layer7'):  # linear bottlenecks
        last = len(getattr(backbone, layer)) - 1
        stages.append(Stage(layer, layer, f'{layer}.{last}.conv.2.bn'))
    return stages


def _shufflenet_v1(backbone: nn.Module) -> List[Stage]:
    stages = []
    for layer in ('layer1', 'layer2', 'layer3'):
        unit = f'{layer}.{len(getattr(backbone, layer)) - 1}'
        stages.append(Stage(layer, f'{unit}.relu.input', f'{unit}.conv3.bn'))
    return stages


def _shufflenet_v2(backbone: nn.Module) -> List[Stage]:
    stages = []
    for layer in ('layer1', 'layer2', 'layer3'):
        unit = f'{layer}.{len(getattr(backbone, layer)) - 1}'
        # of half of the channels; the other half has no normalisation of its own
        stages.append(Stage(layer, f'{unit}.relu.input', f'{unit}.branch2.2.bn'))
    return stages


# By the name of the class, the same in mmpretrain and mmdet, or of one of its parents
KINDS: Dict[str, Callable[[nn.Module], Optional[List[Stage]]]] = {
    'ResNet': _resnet,
    'WideResNet': _wide_resnet,
    'CIFARVGG': _vgg,
    'MobileNetV1': _mobilenet_v1,
    'CIFARMobileNetV2': _mobilenet_v2,
    'CIFARShuffleNetV1': _shufflenet_v1,
    'CIFARShuffleNetV2': _shufflenet_v2,
}
