"""A teacher that looks at each image of BCCD once, to train many students of it.

All images have one size there and are flipped in four ways, so a frozen neck gives the
same maps in each epoch, but for rounding; they are kept in memory, 1.6 MB each.
"""

from hashlib import blake2b
from typing import Dict, List, Tuple

import torch
from torch import Tensor, nn

from luminet_mm.distillers import LogitDistiller
from luminet_mm.registry import MODELS


class RememberingNeck(nn.Module):
    """Backbone and neck; maps of images that were seen before come from memory.

    An image is known by its pixels, so no augmentation can be mistaken for another.
    """

    def __init__(self, backbone: nn.Module, neck: nn.Module) -> None:
        super().__init__()
        self.backbone, self.neck = backbone, neck
        self.kept: Dict[tuple, List[Tensor]] = {}

    def forward(self, images: Tensor) -> Tuple[Tensor, ...]:
        keys = [(blake2b(i.numpy()).digest(), *images.shape[1:]) for i in images]
        new = [index for index, key in enumerate(keys) if key not in self.kept]
        if new:
            maps = self.neck(self.backbone(images[new]))
            for place, index in enumerate(new):
                self.kept[keys[index]] = [each[place].clone() for each in maps]
        return tuple(map(torch.stack, zip(*(self.kept[key] for key in keys))))


@MODELS.register_module()
class RememberingDistiller(LogitDistiller):
    """A LogitDistiller whose teacher is one that remembers."""

    def _learn(self, inputs: Tensor, data_samples: list) -> tuple:
        learnt = super()._learn(inputs, data_samples)
        model = self.teachers[0].model
        if not isinstance(model.neck, RememberingNeck):  # accelerated by now
            model.neck = RememberingNeck(model.backbone, model.neck)
            model.backbone = nn.Identity()
        return learnt
