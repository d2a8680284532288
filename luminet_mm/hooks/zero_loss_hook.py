import logging
from typing import Dict, Optional

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

from ..registry import HOOKS


@HOOKS.register_module()
class ZeroLossHook(Hook):
    """Warns of a distillation loss that is exactly zero for a whole interval.

    Such a loss teaches nothing, and a log full of zeros is easy to overlook: the
    teacher may be the student itself, or no RoI is ever sampled.

    Args:
        interval (int): Iterations between two checks. Defaults to 50, the
            interval of mmengine's logger.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self.sums: Dict[str, Tensor] = {}

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
        outputs: Optional[Dict[str, Tensor]] = None,
    ) -> None:
        """Add up what the step returned; look at the sums once an interval."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for name in getattr(model, 'distill_losses', ()):
            self.sums[name] = self.sums.get(name, 0) + outputs[name].detach().abs()
        if not self.every_n_train_iters(runner, self.interval):
            return
        for name, total in self.sums.items():
            if total == 0:
                print_log(
                    f'The distillation loss {name!r} was exactly zero for '
                    f'{self.interval} iterations: nothing is distilled by it. Is the '
                    "teacher's checkpoint the student's own, or its loss_weight 0?",
                    logger='current',
                    level=logging.WARNING,
                )
        self.sums = {}
