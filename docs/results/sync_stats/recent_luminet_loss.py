"""LumiNet with statistics of the recent past, tried and not kept.

What it did is in docs/results/sync_stats.md; docs/results/sync_stats.sh runs it.
"""

from collections import deque
from typing import Optional

import torch
from torch import Tensor

from luminet_mm.losses import LuminetLoss
from luminet_mm.registry import MODELS


@MODELS.register_module()
class RecentLuminetLoss(LuminetLoss):
    """Perceptions among the samples of the last batches too, which have no gradient.

    Args:
        num_batches (int): Batches of the past.
    """

    def __init__(self, num_batches: int = 3, **kwargs) -> None:
        super().__init__(**kwargs)
        self.past = deque(maxlen=num_batches)

    def divergence(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Optional[Tensor]
    ) -> Tensor:
        recent = [(preds_S, preds_T), *self.past]
        all_S, all_T = (torch.cat(preds) for preds in zip(*recent))
        if self.training:
            self.past.append((preds_S.detach(), preds_T.detach()))
        return super().divergence(all_S, all_T, None)[: len(preds_S)]
