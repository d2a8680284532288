"""The named losses of a config: what each compares, and what it has to be given."""

import copy
import inspect
from typing import Iterable, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from ..checks import (
    arguments_of,
    check_arguments,
    check_layers,
    check_type,
    nearest,
    place,
)
from ..registry import MODELS
from ..rng import forked_rng
from .building import find_class

# What losses raise, also of other packages, when they are given what does not fit
INCOMPARABLE = (AssertionError, IndexError, RuntimeError, TypeError, ValueError)


class SummedOverPairs(nn.Module):
    """A loss of two maps, of any package, summed over pairs of features.

    Args:
        loss (nn.Module): Its ``forward`` takes (B, C, H, W) of student and teacher.
        layers (Sequence[tuple[str, str]]): Pairs of places in student and teacher.
    """

    needs: Tuple[str, ...] = ()

    def __init__(self, loss: nn.Module, layers: Sequence[Tuple[str, str]]) -> None:
        super().__init__()
        self.loss = loss
        self.layers = layers

    def connect(self, shapes_S: Sequence, shapes_T: Sequence) -> None:
        """Nothing is made: what such a loss has to learn, it has already."""

    def read_norms(self, norms: Sequence[Optional[nn.Module]]) -> None:
        """Nothing is read."""

    def forward(self, feats_S: List[Tensor], feats_T: List[Tensor]) -> Tensor:
        """Sum of the losses of all pairs."""
        return sum(
            self.loss(feat_S.contiguous(), feat_T.detach().contiguous())
            for feat_S, feat_T in zip(feats_S, feats_T)
        )

    def extra_repr(self) -> str:
        return f'layers={self.layers}'


def build_loss(name: str, cfg: dict, names: Iterable[str]) -> nn.Module:
    """Build one of the losses of a config.

    Args:
        name (str): Its name.
        cfg (dict): Its config, with ``compares`` or ``layers`` beside what the class
            itself takes.
        names (Iterable[str]): Of all losses.

    Returns:
        nn.Module: With an attribute ``layers`` if it compares features.

    Raises:
        TypeError, ValueError: If it cannot be a distillation loss.
    """
    key = f'model.distill_losses.{name}'
    check_type(key, cfg, dict, "a dict with the loss's type")
    cfg = dict(cfg)
    if 'loss' not in str(name):
        raise ValueError(
            f"{key}: the name must contain 'loss', or mmengine only logs its value and "
            'does not train with it'
        )
    if '.' in name or name == 'loss':
        raise ValueError(
            f"{key}: take another name, without a dot; 'loss' is the total of all"
        )
    if 'type' not in cfg:
        raise ValueError(f'{key} has no type{nearest(name, set(names) - {name})}')
    cls = find_class(cfg, key)
    compares = cfg.pop('compares', None)
    has_layers = 'layers' in arguments_of(cls)[0]
    layers = None if has_layers else cfg.pop('layers', None)
    # what was taken out is only named here, so that it is hinted at
    check_arguments(key, cls, cfg, () if has_layers else ('compares', 'layers'))
    with place(key):
        loss = MODELS.build(cfg)
    if compares_features(loss) or layers is not None:
        if compares is not None:
            raise ValueError(
                f'{key}.compares={compares!r} names rows, and {cls.__name__} compares '
                'features, which `layers` names; remove one of them'
            )
        if layers is None:
            return loss
        layers = check_layers(f'{key}.layers', layers)
        _check_call(key, loss, of_maps=True)
        return SummedOverPairs(loss, layers)
    _check_call(key, loss)
    if compares is not None:
        loss.compares = compares
    return loss


def compares_features(loss: nn.Module) -> bool:
    """Whether a loss compares features, and not rows."""
    return hasattr(loss, 'layers')


def name_of_loss(loss: nn.Module) -> str:
    """What a config calls a loss."""
    return type(loss.loss if isinstance(loss, SummedOverPairs) else loss).__name__


def compared(loss: nn.Module) -> str:
    """The attribute of the rows that a loss of rows compares."""
    return getattr(loss, 'compares', 'logits')


def labels_for(name: str, loss: nn.Module, labels: Optional[Tensor]) -> dict:
    """The labels as a keyword argument, if a loss of rows has a parameter for them.

    Args:
        name (str): The loss's name.
        loss (nn.Module): The loss.
        labels (Tensor, optional): Class index of each row, shape (N,).

    Raises:
        ValueError: If it cannot do without, and there are none.
    """
    parameter = inspect.signature(loss.forward).parameters.get('gt_labels')
    if parameter is None:
        return {}
    if labels is None and parameter.default is parameter.empty:
        raise ValueError(
            f'model.distill_losses.{name}: {type(loss).__name__} needs a class index '
            'for each sample, but the student is given none: take another loss, or '
            'remove batch_augments from model.student.data_preprocessor where mixup or '
            'CutMix soften the labels'
        )
    return dict(gt_labels=labels)


def check_weighs(name: str, loss: nn.Module) -> None:
    """Check that a loss takes rows that do not all count the same.

    Args:
        name (str): The loss's name.
        loss (nn.Module): The loss.

    Raises:
        ValueError: If it does not say so.
    """
    if not getattr(loss, 'weighs_rows', False):
        raise ValueError(
            f'model.distill_losses.{name}: {type(loss).__name__} cannot be told that '
            'rows count differently, as boxes of a dense head do; take a loss of '
            'luminet_mm'
        )


def weights_for(loss: nn.Module, weights: Optional[Tensor]) -> dict:
    """The weights of the rows as keyword arguments.

    Args:
        loss (nn.Module): The loss.
        weights (Tensor, optional): Weight of each row, shape (N,); None where all count
            the same.
    """
    if weights is None:
        return {}
    if getattr(loss, 'reduction', 'mean') != 'mean':
        return dict(weight=weights)
    return dict(weight=weights, avg_factor=weights.sum().clamp(min=1))


def _check_call(key: str, loss: nn.Module, of_maps: bool = False) -> None:
    """Check that a loss can be called with two matrices of rows, or two maps."""
    needed = [
        parameter.name
        for parameter in inspect.signature(loss.forward).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind
        in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    name = type(loss).__name__
    if len(needed) < 2 or set(needed[2:]) - (set() if of_maps else {'gt_labels'}):
        raise ValueError(
            f'{key}: {name}.forward({", ".join(needed)}) cannot be called; it must take'
            ' the logits of student and teacher, and may take gt_labels; or two maps, '
            "where `layers` says which, e.g. layers=[('neck', 'neck')]"
        )
    takes_rows, takes_maps = _runs(loss, 2), _runs(loss, 4)
    if of_maps and takes_rows and not takes_maps:
        raise ValueError(
            f'{key}: {name} compares rows of logits (N, C), not maps (B, C, H, W); '
            'remove `layers`, or take a loss of features, e.g. luminet_mm.CWDLoss'
        )
    if not of_maps and takes_maps and not takes_rows:
        raise ValueError(
            f'{key}: {name} compares maps (B, C, H, W), not rows of logits (N, C); say '
            "whose, e.g. layers=[('neck', 'neck')] beside its type"
        )


def _runs(loss: nn.Module, num_axes: int) -> bool:
    has_labels = 'gt_labels' in inspect.signature(loss.forward).parameters
    labels = dict(gt_labels=torch.zeros(4).long()) if has_labels else {}
    with forked_rng(torch.device('cpu')), torch.no_grad():
        preds_S, preds_T = torch.rand(2, *(4,) * num_axes)
        try:
            copy.deepcopy(loss)(preds_S, preds_T, **labels)
        except Exception:  # whatever a loss of another package raises
            return False
    return True
