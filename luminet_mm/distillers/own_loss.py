"""The student's own losses, weighed; without them, images need no labels."""

import logging
from typing import Any, Dict

import torch
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor, nn

from .sources import Source


def weigh(losses: Dict[str, Any], factor: float) -> Dict[str, Any]:
    """The losses of a model, each a tensor or a list of those of several levels, by a
    factor; what is no loss, such as an accuracy, as it is, or not at all where there
    are no labels to be right about."""
    weighed = {}
    for name, value in losses.items():
        if 'loss' in name and isinstance(value, (list, tuple)):
            weighed[name] = [factor * each for each in value]
        elif 'loss' in name:
            weighed[name] = factor * value
        elif factor:
            weighed[name] = value
    return weighed


def with_labels(data_samples: list, inputs: Tensor) -> list:
    """The samples of images without labels as the model's own loss wants them, which is
    not to count: of the first class, or without an object."""
    return [_with_label(sample, inputs) for sample in data_samples]


def _with_label(sample: BaseDataElement, inputs: Tensor) -> BaseDataElement:
    if hasattr(sample, 'set_gt_label'):
        if 'gt_label' in sample or 'gt_score' in sample:
            return sample
        return sample.clone().set_gt_label(inputs.new_zeros(1, dtype=torch.long))
    if 'labels' in sample.get('gt_instances', ()):
        return sample
    sample = sample.clone()
    sample.gt_instances = InstanceData(
        bboxes=inputs.new_zeros(0, 4), labels=inputs.new_zeros(0, dtype=torch.long)
    )
    return sample


def check_unlabelled(source: Source, feature_losses: Dict[str, nn.Module]) -> None:
    """Check that nothing looks at labels that are not to count.

    Args:
        source (Source): The student's.
        feature_losses (dict[str, Module]): Losses of features by name.

    Raises:
        ValueError: If something does.
    """
    where = {'gt_labels': 'classes', 'data_samples': 'boxes'}
    for name, loss in feature_losses.items():
        looked_at = [what for need, what in where.items() if need in loss.needs]
        if looked_at:
            raise ValueError(
                f'model.own_loss_weight=0: no label is to count, and model.'
                f'distill_losses.{name}, {type(loss).__name__}, looks at the '
                f'{looked_at[0]} of the ground truth; take another loss'
            )
    if getattr(source, 'rows', None) == 'assigned':
        raise ValueError(
            'model.own_loss_weight=0: no label is to count, and model.source.rows='
            "'assigned' takes the priors of the ground truth; take 'confident'"
        )


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
