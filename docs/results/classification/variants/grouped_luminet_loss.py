"""LumiNet with the statistics of parts of a batch, tried on Tiny ImageNet and not kept.

What it did is in docs/results/statistics.md; `classification.sh` runs it.
"""

from collections import defaultdict, deque
from functools import partial
from typing import Any, Optional

import torch
from torch import Tensor

from luminet_mm.losses import LuminetLoss
from luminet_mm.registry import MODELS


@MODELS.register_module()
class GroupedLuminetLoss(LuminetLoss):
    """Each group of samples has its own statistics, as a process with as many has.

    Args:
        group_size (int): Samples of a group. Defaults to 16.
        num_past (int): Batches of the past whose samples of the same group count for
            its statistics, too; they have no gradient. Defaults to 0.
        center (bool): Whether the logits of a class are less their mean over the group
            of their own batch, so that the past counts for variances only. Defaults to
            False.
    """

    def __init__(
        self,
        group_size: int = 16,
        num_past: int = 0,
        center: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.group_size = group_size
        self.center = center
        self.past = defaultdict(partial(deque, maxlen=num_past))

    def divergence(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Optional[Tensor]
    ) -> Tensor:
        losses = []
        pairs = zip(preds_S.split(self.group_size), preds_T.split(self.group_size))
        for group, (own_S, own_T) in enumerate(pairs):
            if self.center:
                own_S, own_T = (own - own.mean(dim=0) for own in (own_S, own_T))
            past = self.past[group]
            all_S, all_T = map(torch.cat, zip((own_S, own_T), *past))
            past.append((own_S.detach(), own_T))
            losses.append(super().divergence(all_S, all_T, None)[: len(own_S)])
        return torch.cat(losses)
