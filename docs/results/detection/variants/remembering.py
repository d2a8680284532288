"""A teacher that looks at each image of BCCD once, to train many students of it.

All images have one size there and are flipped or not, so a frozen neck gives the same
maps in each epoch, but for rounding; they are kept in memory, 1.6 MB each.
"""

from typing import Dict, List, Tuple

import torch
from torch import Tensor, nn

from luminet_mm.distillers import LogitDistiller
from luminet_mm.distillers.sources import Rows
from luminet_mm.registry import MODELS


class RememberingNeck(nn.Module):
    """Backbone and neck; maps of what was seen before come from memory."""

    def __init__(self, backbone: nn.Module, neck: nn.Module) -> None:
        super().__init__()
        self.backbone, self.neck = backbone, neck
        self.kept: Dict[tuple, List[Tensor]] = {}
        self.keys: List[tuple] = []  # of the next batch

    def forward(self, images: Tensor) -> Tuple[Tensor, ...]:
        keys = [(*key, *images.shape[1:]) for key in self.keys]
        new = [index for index, key in enumerate(keys) if key not in self.kept]
        if new:
            maps = self.neck(self.backbone(images[new]))
            for place, index in enumerate(new):
                self.kept[keys[index]] = [each[place].clone() for each in maps]
        return tuple(map(torch.stack, zip(*(self.kept[key] for key in keys))))


@MODELS.register_module()
class RememberingDistiller(LogitDistiller):
    """A LogitDistiller whose teacher is one that remembers."""

    def _teach(self, inputs: Tensor, data_samples: list, rows: Rows) -> Rows:
        model = self.teachers[0].model
        if not isinstance(model.neck, RememberingNeck):  # accelerated by now
            model.neck = RememberingNeck(model.backbone, model.neck)
            model.backbone = nn.Identity()
        model.neck.keys = [(sample.img_id, sample.flip) for sample in data_samples]
        return super()._teach(inputs, data_samples, rows)
