"""The student's own losses, weighed; without them, images need no labels."""

import logging
from typing import Any, Dict

import torch
from mmengine.logging import print_log
from torch import Tensor

from .sources import Source


def weigh(losses: Dict[str, Any], factor: float) -> Dict[str, Any]:
    """The losses of a model, each a tensor or a list of those of several levels, by a
    factor; what is no loss, such as an accuracy, as it is."""
    weighed = {}
    for name, value in losses.items():
        if 'loss' in name and isinstance(value, (list, tuple)):
            weighed[name] = [factor * each for each in value]
        else:
            weighed[name] = factor * value if 'loss' in name else value
    return weighed


def with_labels(data_samples: list, inputs: Tensor) -> list:
    """The samples of images without labels as a classifier's own loss wants them; these
    labels are not to count."""
    return [
        sample.clone().set_gt_label(inputs.new_zeros(1, dtype=torch.long))
        if hasattr(sample, 'set_gt_label') and 'gt_label' not in sample
        else sample
        for sample in data_samples
    ]


def warn_of_what_is_left(source: Source) -> None:
    """Without losses of its own, a student learns what is compared and no more."""
    left = sorted(set(source.predictions) - source.compared)
    compared = ', '.join(sorted(source.compared)) or 'features'
    left = ', '.join([*left, 'boxes of an RPN, masks'])
    print_log(
        'model.own_loss_weight=0: the student learns what model.distill_losses compare '
        f'({compared}). All else ({left}) stays as it starts, so start from trained '
        'weights (load_from)',
        logger='current',
        level=logging.WARNING,
    )
