import logging
from typing import Dict, Optional, Set

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import Dataset

from ..checks import check_number, key_of
from ..losses import CRDLoss
from ..never_stop import never_stop
from ..registry import HOOKS


@HOOKS.register_module()
class ZeroLossHook(Hook):
    """Warns of what teaches nothing, which a log hides.

    That is a distillation loss that is exactly zero for a whole interval: the teacher
    may be the student itself, or no RoI is ever sampled. And it is a class whose name
    COCO's annotations do not have, since its objects are left out without a word; and
    a row of :class:`luminet_mm.losses.CRDLoss` that no image has. Of each it warns
    once.

    Args:
        interval (int): Iterations between two checks. Defaults to 50, the
            interval of mmengine's logger.

    Raises:
        TypeError, ValueError: If ``interval`` is no such number.
    """

    def __init__(self, interval: int = 50) -> None:
        check_number(key_of(self, 'interval'), interval, at_least=1, integer=True)
        self.interval = interval
        self.count = 0
        self.sums: Dict[str, Tensor] = {}
        self.warned: Set[str] = set()

    @never_stop
    def before_train(self, runner: Runner) -> None:
        """Look for class names of the data set that its annotations do not have, and
        for memory banks of another length."""
        dataset = runner.train_dataloader.dataset
        while hasattr(dataset, 'dataset'):
            dataset = dataset.dataset
        classes = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
        found = len(getattr(dataset, 'cat_ids', classes))
        if found < len(classes):
            print_log(
                f'Only {found} of the {len(classes)} classes {tuple(classes)} are '
                f'categories of {dataset.ann_file}; objects of the others are left out.'
                ' Spell train_dataloader.dataset.metainfo.classes as the file does',
                logger='current',
                level=logging.WARNING,
            )
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for loss in getattr(model, 'distill_losses', {}).values():
            if isinstance(loss, CRDLoss):
                _check_memory(loss, dataset)

    @never_stop
    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
        outputs: Optional[Dict[str, Tensor]] = None,
    ) -> None:
        """Add up what the step returned; look at the sums once an interval."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if getattr(model, 'is_over', False):
            return  # as the config says
        for name in getattr(model, 'distill_losses', ()):
            if name in (outputs or ()):  # a wrapper may return less
                size = torch.as_tensor(outputs[name]).detach().abs()
                self.sums[name] = self.sums.get(name, 0) + size
        self.count += 1
        if self.count < self.interval:
            return
        for name, total in self.sums.items():
            if total == 0 and name not in self.warned:
                self.warned.add(name)
                print_log(
                    f'The distillation loss {name!r} was exactly zero for '
                    f'{self.interval} iterations: nothing is distilled by it. Is the '
                    "teacher's checkpoint the student's own, or its loss_weight 0?",
                    logger='current',
                    level=logging.WARNING,
                )
        self.count, self.sums = 0, {}


def _check_memory(loss: CRDLoss, dataset: Dataset) -> None:
    """Warn where the rows of a memory bank are not those of the images."""
    if loss.num_samples != len(dataset):
        problem = f'the training set has {len(dataset)} images, which it must be'
    elif hasattr(dataset, 'datasets'):
        problem = (
            f'each part of a {type(dataset).__name__} counts its images from 0, so '
            'several share a row of the memory; train on one data set'
        )
    else:
        return
    print_log(
        f'{loss.num_samples_key}={loss.num_samples}: {problem}',
        logger='current',
        level=logging.WARNING,
    )
