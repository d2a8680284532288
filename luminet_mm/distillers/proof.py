"""What makes a model one that can be trusted to learn or to teach: a proof."""

import copy
import logging
import os.path as osp
from functools import lru_cache
from typing import FrozenSet, Optional

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor

from ..compat import alone
from ..rng import forked_rng
from .building import copy_of
from .sources import Source
from .taps import Taps

PROVEN = osp.join(osp.dirname(__file__), 'proven_families.txt')
TOLERANCE = 1e-3  # of the largest prediction; GPUs may add up in another order
# parts of the names of layers that depend on the batch or on chance; torch's attention
# drops out by itself
CHANCE = ('Norm', 'Drop', 'MultiheadAttention')


@lru_cache(maxsize=None)
def proven_families() -> FrozenSet[str]:
    """Families whose models were walked, see ``docs/supported_models.md``."""
    with open(PROVEN) as f:
        return frozenset(line.strip() for line in f)


def is_proven(source: Source, model: BaseModel) -> bool:
    """Whether a model's family was shown to be distilled right.

    Args:
        source (Source): The one that takes the model.
        model (BaseModel): Student or teacher.
    """
    return source.family(model) in proven_families()


@torch.no_grad()
def prove(
    source: Source,
    model: BaseModel,
    key: str,
    inputs: Tensor,
    data_samples: list,
    taps: Optional[Taps] = None,
) -> None:
    """Show that a model that is its own teacher has nothing to learn.

    A copy of it is observed as a student, with normalisation and dropout in eval mode
    so that batch and chance have no say, and asked as a teacher; both must give the
    same predictions of the same rows. The copy is all that is touched, and random
    numbers are drawn apart.

    Args:
        source (Source): The one that takes the model.
        model (BaseModel): Student or teacher.
        key (str): Its config key, 'model.student' or 'model.teacher'.
        inputs (Tensor): The batch as the model's preprocessor makes it, shape
            (B, 3, H, W).
        data_samples (list): Its data samples, with ground truth.
        taps (Taps, optional): Of the model, whose features must be the same, too.
            Defaults to None, none.

    Raises:
        ValueError: If the predictions or the features differ.
    """
    unknown = (
        f'{key} ({source.family(model)}) is none of the models that were shown to be '
        'distilled right (docs/supported_models.md)'
    )
    taps = taps or Taps((), model)
    source = source.for_one(key.split('.')[1])
    model = copy_of(model).train()  # some heads make other outputs in eval mode
    for module in model.modules():
        if any(name in type(module).__name__ for name in CHANCE):
            module.eval()
    samples = copy.deepcopy(data_samples)  # losses may write into theirs
    try:
        with forked_rng(inputs.device), alone():
            with source.observe(model, samples) as rows:
                with taps.observe(model, partly=True) as rows.features:
                    model(inputs, samples, mode='loss')
        with taps.observe(model.eval(), partly=True) as features:
            taught = source.teach(model, inputs, rows)
    except Exception as error:  # of upstream's code, which the training may not meet
        _warn(f'{unknown}, and it cannot be tried: {type(error).__name__}: {error}')
        return
    for name in sorted(source.compared):
        if not _close(getattr(rows, name), getattr(taught, name)):
            raise ValueError(
                f'{unknown}, and as its own teacher it does not predict the same '
                f'{name}, so they cannot be compared; take another model, or write a '
                'Source for it'
            )
    for name, feats in rows.features.items():
        if name in features and not all(map(_close, feats, features[name])):
            raise ValueError(
                f'{key} is a {type(model).__name__}, which gives other features at '
                f'{name!r} when it is trained than when it teaches, so as its own '
                'teacher it would have something to learn; take another place'
            )
    shown = 'as its own teacher it has nothing to learn, as it must be'
    if source.predictions:
        _warn(f'{unknown}; {shown}')
    else:
        print_log(f'{key} ({source.family(model)}): {shown}', logger='current')


def _close(a: Tensor, b: Tensor) -> bool:
    # what is not finite is told when it is compared
    if a.shape != b.shape or not a.numel() or not b.isfinite().all():
        return a.shape == b.shape
    return bool((a - b).abs().max() <= TOLERANCE * b.abs().max())


def _warn(text: str) -> None:
    print_log(text, logger='current', level=logging.WARNING)
