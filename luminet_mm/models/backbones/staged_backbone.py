from typing import Dict, Optional, Sequence, Tuple, Union

from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...checks import check_boolean, check_number, check_type

BN = dict(type='BN')
# He et al.'s normal distribution, over a convolution's outputs
HE_INIT = (
    dict(type='Kaiming', layer='Conv2d'),
    dict(type='Constant', val=1, layer='_BatchNorm'),
)
InitCfg = Union[Dict, Sequence[Dict], None]


class StagedBackbone(BaseBackbone):
    """A stem and a chain of layers, any of which can hand out its features.

    What mmpretrain's ``ResNet`` offers its users, for a model that is one chain:
    ``out_indices``, ``frozen_stages`` and ``norm_eval``. The layers are named as
    there: ``layer1``, ``layer2`` and so on after ``conv1``, the stem.

    Args:
        stem (nn.Module): What comes before the first layer.
        layers (Sequence[nn.Module]): The chain.
        out_indices (Sequence[int], optional): Layers, from 0, whose features are
            returned. Defaults to None: the last one alone, which a head wants.
        frozen_stages (int): -1 freezes nothing, 0 the stem, n also the first n
            layers: parameters without gradient, BN in eval mode. Defaults to -1.
        norm_eval (bool): Whether BN keeps its running statistics while training.
            Defaults to False.
        init_cfg (dict | Sequence[dict], optional): As mmengine's ``BaseModule``.
            Defaults to None: torch's own initialisation, as of the benchmark's models
            that initialise nothing themselves.

    Raises:
        TypeError, ValueError: If ``out_indices`` or ``frozen_stages`` names no layer.
    """

    def __init__(
        self,
        stem: nn.Module,
        layers: Sequence[nn.Module],
        out_indices: Optional[Sequence[int]] = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: InitCfg = None,
    ) -> None:
        super().__init__(init_cfg)
        if out_indices is None:
            out_indices = (len(layers) - 1,)
        check_layers(type(self).__name__, out_indices, len(layers))
        check_number('backbone.frozen_stages', frozen_stages, integer=True)
        check_boolean('backbone.norm_eval', norm_eval)
        if frozen_stages not in range(-1, len(layers) + 1):
            raise ValueError(
                f'backbone.frozen_stages={frozen_stages!r}: {type(self).__name__} '
                f'takes -1 (nothing) to {len(layers)} (everything)'
            )
        self.out_indices = out_indices
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.conv1 = stem
        self.layer_names = [f'layer{number}' for number in range(1, len(layers) + 1)]
        for name, layer in zip(self.layer_names, layers):
            self.add_module(name, layer)
        self._freeze_stages()

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Compute features.

        Args:
            x (Tensor): Images, shape (B, 3, H, W).

        Returns:
            tuple[Tensor]: One of shape (B, C, H', W') for each of ``out_indices``, in
            the order of the layers.
        """
        x = self.conv1(x)
        outs = []
        for index, name in enumerate(self.layer_names):
            x = getattr(self, name)(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def init_weights(self) -> None:
        """Initialize the weights."""
        super().init_weights()
        if self.init_cfg:
            return
        for module in self.modules():  # mmcv's ConvModule has an idea of its own
            if isinstance(module, (nn.Conv2d, _BatchNorm)):
                module.reset_parameters()

    def train(self, mode: bool = True) -> 'StagedBackbone':
        """Set the mode, except of what is frozen."""
        super().train(mode)
        self._freeze_stages()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze_stages(self) -> None:
        for name in ['conv1', *self.layer_names][: self.frozen_stages + 1]:
            getattr(self, name).eval().requires_grad_(False)


def check_layers(name: str, out_indices: Sequence[int], num_layers: int) -> None:
    """Check which layers hand out their features.

    Args:
        name (str): The backbone.
        out_indices (Sequence[int]): What the config says.
        num_layers (int): How many layers there are.

    Raises:
        TypeError, ValueError: If it is no list of layers, or empty.
    """
    right = f'{name} has the layers 0 to {num_layers - 1}'
    key = 'backbone.out_indices'
    check_type(key, out_indices, (list, tuple), f'a list of layers: {right}')
    if not out_indices or not all(index in range(num_layers) for index in out_indices):
        raise ValueError(f'{key}={out_indices!r}: {right}')
