"""Features at named places of a model, seen while it runs."""

import re
from contextlib import contextmanager
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..checks import nearest
from .stages import find_stages

STAGES = ('stages', 'preactivations')
NAME = re.compile(r'(?P<base>[\w.]+?)(?P<index>\[[-\d:]+\])?')
INPUT = '.input'


class Place(NamedTuple):
    """What goes into a module, or what comes out of it.

    Attributes:
        module (str): Its path in the model.
        is_input (bool): Whether it is its first argument that is meant.
    """

    module: str
    is_input: bool


class Tap:
    """The places of a model that a name stands for.

    A name is one of

    - the path of a module, as 'neck', 'backbone.layer2' or 'neck.fpn_convs.0', for what
      the module returns, one or several tensors; with '.input' behind it, as
      'backbone.layer3.0.relu.input', for what it is given;
    - 'stages', the features that each stage of the backbone ends with, and
      'preactivations', the same before their last ReLU (see
      :mod:`luminet_mm.distillers.stages`); of a backbone whose stages are not known,
      'stages' are its outputs;
    - 'pooled', the input of a classifier's head.

    Behind it there may be the index or the slice of several features, as 'neck[0]',
    'neck[:4]' or 'stages[-1]'. A module that runs several times in a step counts by its
    last run.

    Args:
        name (str): See above.
        model (BaseModel): The model.
        key (str): The config key that holds the name, for error messages.

    Raises:
        ValueError: If the model has no such place, with the nearest name.
    """

    def __init__(self, name: str, model: BaseModel, key: str) -> None:
        self.name = name
        self.key = key
        found = NAME.fullmatch(name)
        if found is None:
            raise ValueError(
                f'{key}: {name!r} is no place of a model; write the path of a module '
                "and, maybe, the index of its output, as 'neck', 'neck[:4]' or "
                "'backbone.layer2'"
            )
        base, index = found.group('base', 'index')
        self.index = _index(index, f'{key}: {name!r}')
        if base == 'pooled' and index is None:
            self.index = -1  # what heads take of several
        self.places = [_place(text) for text in _meaning(base, model, key)]
        modules = dict(model.named_modules())
        for place in self.places:
            if place.module not in modules:
                known = {'stages', 'preactivations', 'pooled', *modules} - {''}
                parts = ', '.join(name for name, _ in model.named_children())
                hint = nearest(place.module, known) or f'; its parts are {parts}'
                raise ValueError(f'{key}: {type(model).__name__} has no {name!r}{hint}')

    def take(self, seen: Dict[Place, List[Tensor]]) -> List[Tensor]:
        """The features that the name stands for, of all that were seen."""
        found = [feat for place in self.places for feat in seen[place]]
        try:
            feats = found[self.index]
        except IndexError:
            feats = []
        if not isinstance(feats, list):
            feats = [feats]
        if not feats:
            raise ValueError(
                f'{self.key}: {self.name!r} gives no feature; the number of features '
                f'there is {len(found)}'
            )
        return feats

    def norms(self, model: BaseModel) -> List[Optional[nn.Module]]:
        """The batch normalisation that made each feature, None where not known.

        Args:
            model (BaseModel): The one of the constructor; not accelerated, as that has
                none.
        """
        made_by = {
            _place(f'backbone.{stage.preactivation}'): f'backbone.{stage.norm}'
            for stage in find_stages(getattr(model, 'backbone', None)) or ()
        }
        norms = []
        for place in self.places:
            module = model.get_submodule(made_by.get(place, place.module))
            norms.append(module if isinstance(module, _BatchNorm) else None)
        return self.of_chosen(norms)

    def of_chosen(self, of_places: list) -> list:
        """Those of some values, one of each place, whose features the index takes.

        A place that is the only one may give several features, which have its value.
        """
        chosen = of_places if len(of_places) == 1 else of_places[self.index]
        return chosen if isinstance(chosen, list) else [chosen]


class Taps:
    """All taps of one model.

    Args:
        names (Iterable[tuple[str, str]]): Of each tap its name and its config key.
        model (BaseModel): The model, or one that has modules of the same names.

    Raises:
        ValueError: As :class:`Tap`.
    """

    def __init__(self, names: Iterable[Tuple[str, str]], model: BaseModel) -> None:
        self.taps = {name: Tap(name, model, key) for name, key in names}
        self._kept: Optional[set] = None  # places that nothing overwrites

    def modules(self, name: str) -> List[str]:
        """Paths of the modules of the places that a name stands for.

        Args:
            name (str): Of a tap.
        """
        tap = self.taps[name]
        return tap.of_chosen([place.module for place in tap.places])

    @contextmanager
    def observe(
        self, model: BaseModel, partly: bool = False
    ) -> Iterator[Dict[str, List[Tensor]]]:
        """Watch one run of a model inside a ``with`` block.

        What an in-place operation overwrites later, such as what a ReLU is given, is
        copied. Whether there is one is found in the first run, where all is copied.

        Args:
            model (BaseModel): The one that runs.
            partly (bool): Whether places may be left out that do not run, as in a part
                of a step. Defaults to False.

        Returns:
            Iterator[dict[str, list[Tensor]]]: Gives a dict that is filled when the
            block ends: the features by the name of their tap.

        Raises:
            ValueError: If a module did not run, or gave no tensors.
        """
        feats: Dict[str, List[Tensor]] = {}
        if not self.taps:
            yield feats
            return
        seen: Dict[Place, List[Tensor]] = {}
        versions: Dict[Place, List[Tuple[Tensor, int]]] = {}

        def keep(place: Place, given: Any) -> None:
            tensors = _tensors(given)
            versions[place] = [(tensor, tensor._version) for tensor in tensors]
            copied = partly or place not in (self._kept or ())
            # gradients add up in the same order either way
            seen[place] = [t.clone() if copied else t.view_as(t) for t in tensors]

        handles = []
        for place in {place for tap in self.taps.values() for place in tap.places}:
            module = model.get_submodule(place.module)
            if place.is_input:
                handle = module.register_forward_pre_hook(
                    lambda module, args, place=place: keep(place, args[:1])
                )
            else:
                handle = module.register_forward_hook(
                    lambda module, args, out, place=place: keep(place, out)
                )
            handles.append(handle)
        try:
            yield feats
        finally:
            for handle in handles:
                handle.remove()
        whole = {
            place
            for place, tensors in versions.items()
            if all(tensor._version == version for tensor, version in tensors)
        }
        changed = (self._kept or set()) & set(versions) - whole
        if self._kept is None and not partly:
            self._kept = whole
        elif changed and not partly:
            names = ', '.join(place.module for place in changed)
            raise RuntimeError(
                f'features of {names} were overwritten in place in this step, which '
                'they were not in the first; in model.distill_losses.*.layers name the '
                'output of the whole block, or the input of what follows'
            )
        for name, tap in self.taps.items():
            missing = [place for place in tap.places if not seen.get(place)]
            if not missing:
                feats[name] = tap.take(seen)
            elif not partly:
                raise ValueError(
                    f'{tap.key}: {name!r} gave no features, since {missing[0].module} '
                    f'did not run or returned no tensors in {type(model).__name__}; '
                    'of a teacher, backbone and neck run, and what predicts the rows '
                    'that a loss compares'
                )


def _meaning(base: str, model: BaseModel, key: str) -> List[str]:
    """The places that the name of several stands for, or itself."""
    name = type(model).__name__
    if base == 'pooled':
        if not hasattr(model, 'head'):
            raise ValueError(
                f"{key}: 'pooled' is the input of a classifier's head, and {name} has "
                "none; name a module, as 'neck[0]'"
            )
        neck = getattr(model, 'neck', None)
        return ['backbone' if neck is None else 'neck']
    if base not in STAGES:
        return [base]
    backbone = getattr(model, 'backbone', None)
    stages = find_stages(backbone)
    if stages is None:
        if base == 'stages' and backbone is not None:
            return ['backbone']
        part = '' if backbone is None else f'the {type(backbone).__name__} of '
        raise ValueError(
            f'{key}: {base!r} are not known of {part}{name}; name modules in their '
            "place, one pair a stage, as ('backbone.layer1', 'backbone.layer1')"
        )
    if base == 'stages':
        return [f'backbone.{stage.output}' for stage in stages]
    return [f'backbone.{stage.preactivation}' for stage in stages]


def _place(text: str) -> Place:
    is_input = text.endswith(INPUT)
    return Place(text[: -len(INPUT)] if is_input else text, is_input)


def _index(text: Optional[str], what: str) -> Any:
    if text is None:
        return slice(None)
    try:
        parts = [int(part) if part else None for part in text[1:-1].split(':')]
        slice(*parts).indices(1)  # a step of 0 is found when it is used
        return parts[0] if len(parts) == 1 else slice(*parts)
    except (TypeError, ValueError):
        raise ValueError(f'{what}: {text} is no index such as [0] or [:4]') from None


def _tensors(given: Any) -> List[Tensor]:
    """Tensors that a module gives, in a list, also where they are nested."""
    if isinstance(given, Tensor):
        return [given]
    if isinstance(given, dict):
        given = given.values()
    elif not isinstance(given, (list, tuple)):
        return []
    return [tensor for each in given for tensor in _tensors(each)]
