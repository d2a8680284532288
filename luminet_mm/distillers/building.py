"""Models, and what can be said of them, from what a config says."""

import copy
import inspect
import re
from typing import Any, Iterator, List, Optional, Tuple

from mmengine.model import BaseModel, BaseModule, initialize
from torch import nn

from ..checks import arguments_of, nearest
from ..config import load_model_cfg
from ..registry import MODELS
from .pixels import is_raw

UNTOLD = 'as they come, since no config has a data_preprocessor'


def build_model(
    cfg: dict,
    key: str,
    data_preprocessor: Optional[dict] = None,
    run_decides: bool = False,
) -> Tuple[BaseModel, str]:
    """Build a model from what a config says of it.

    Args:
        cfg (dict): As :func:`luminet_mm.config.load_model_cfg` takes it.
        key (str): The config key that holds ``cfg``, for error messages.
        data_preprocessor (dict, optional): The run's, which mmengine's runner hands on
            where it has one. Defaults to None.
        run_decides (bool): Whether the run's comes before that of the config file
            that ``cfg_path`` names, or of a model that is inline. Defaults to False:
            each model has pixels of its own.

    Returns:
        tuple[BaseModel, str]: The model, its weights not initialised yet, and where
        its preprocessor comes from.

    Raises:
        ValueError: If a preprocessor stands beside ``cfg_path`` and differs from the
            run's, which decides; for a key that the model does not know.
    """
    changes_file = isinstance(cfg, dict) and 'cfg_path' in cfg
    own = cfg.get('data_preprocessor') if changes_file else None
    cfg = load_model_cfg(cfg, key)
    origin = 'by its own config'
    if data_preprocessor is not None and (
        run_decides or cfg.get('data_preprocessor') is None
    ):
        if own is not None and cfg.data_preprocessor != data_preprocessor:
            raise ValueError(
                f'{key}.data_preprocessor={dict(own)} and the data_preprocessor='
                f'{dict(data_preprocessor)} of the run differ, and only one can prepare'
                ' the batch; remove one of them'
            )
        cfg.data_preprocessor = data_preprocessor
        origin = "by the run's data_preprocessor"
    elif cfg.get('data_preprocessor') is None:
        origin = UNTOLD
    if not _is_model(find_class(cfg, key)):
        raise ValueError(
            f'{key}.type={cfg.type!r} is no whole model; name a classifier of '
            'mmpretrain or a detector of mmdet'
        )
    try:
        # a copy, since detectors like DETR write into it, and cannot be built again
        return MODELS.build(copy.deepcopy(cfg)), origin
    except (KeyError, TypeError) as error:
        raise _explain(error, cfg, key) from error


def check_told(pixels_from: str, key: str, student: BaseModel) -> None:
    """Check that a model is not given raw pixels for want of a preprocessor.

    Args:
        pixels_from (str): Where its preprocessor comes from, see :func:`build_model`.
        key (str): Its config key.
        student (BaseModel): The student, whose images it is given.

    Raises:
        ValueError: If nobody said how its pixels are normalised, but how the student's
            are.
    """
    if pixels_from == UNTOLD and not is_raw(student.data_preprocessor):
        raise ValueError(
            f'{key} has no data_preprocessor, so it would be given raw pixels where '
            f"the student's are normalised; set {key}.data_preprocessor, or one for "
            'both at the top of the config'
        )


def find_class(cfg: dict, key: str, scope: Optional[str] = None) -> Any:
    """The class that mmengine would build a part of a model from.

    Args:
        cfg (dict): Config with a ``type``.
        key (str): Its config key, for error messages.
        scope (str, optional): Where it is looked up, if the config does not say so.
            Defaults to None, the run's scope.

    Returns:
        type: The class; or a function, where the config names one.

    Raises:
        ValueError: If there is none.
    """
    kind = cfg.get('type')
    if callable(kind):
        return kind
    hint = ''
    if isinstance(kind, str):
        known = {f'luminet_mm.{name}' for name in MODELS.module_dict}
        try:
            with MODELS.switch_scope_and_registry(cfg.get('_scope_', scope)) as found:
                cls = found.get(kind)
                known.update(found.module_dict)
        except (ImportError, KeyError) as error:  # of the package of a scope
            cls, hint = None, f'. {error}'
        if cls is not None:
            return cls
        hint = nearest(kind, known) + hint
    raise ValueError(
        f"{key}.type={kind!r} is not a registered model or loss{hint}; luminet_mm's "
        "own are written 'luminet_mm.LuminetLoss', those of other packages "
        "'mmrazor.DKDLoss'"
    )


def _is_model(cls: Any) -> bool:
    return not inspect.isclass(cls) or issubclass(cls, BaseModel)


def name_of(cfg: dict) -> str:
    """What a model is called: its config, or its class where it is given inline."""
    name = cfg.get('cfg_path') or cfg.get('type')
    return name if isinstance(name, str) else getattr(name, '__name__', str(name))


def copy_of(model: nn.Module) -> nn.Module:
    """A copy that runs without touching the model, whatever wraps its forward."""
    copied = copy.deepcopy(model)
    for module in copied.modules():
        # a copied closure, as of activation checkpointing, runs what is trained
        vars(module).pop('forward', None)
    return copied


def num_params(model: nn.Module, trained: bool = True) -> int:
    """Number of a model's parameters that are trained, or that are not."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad == trained)


def load_pretrained(model: nn.Module) -> None:
    """Load the checkpoint of a model's ``init_cfg`` once more where its class has an
    ``init_weights`` of its own: DETR's draws the transformer after it was loaded."""
    own = getattr(type(model), 'init_weights', BaseModule.init_weights)
    if own is not BaseModule.init_weights:
        initialize(model, _pretrained(model))


def initial_weights(model: BaseModel) -> str:
    """Where the weights come from that ``init_weights`` gives a model."""
    found = {
        init['checkpoint']: name or 'all of it'
        for name, module in model.named_modules()
        for init in _pretrained(module)
    }
    if not found:
        return 'random weights'
    return ', '.join(f'{ckpt} ({part})' for ckpt, part in found.items())


def _pretrained(module: nn.Module) -> List[dict]:
    """Those of a module's ``init_cfg`` that name a checkpoint."""
    init_cfg = getattr(module, 'init_cfg', None)
    each = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or ()
    return [init for init in each if 'Pretrained' in str(init.get('type'))]


def _explain(error: Exception, cfg: dict, key: str) -> Exception:
    """Name the setting or the type that no class knows, and the nearest one."""
    scope = cfg.get('_scope_')
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    for place, part in _parts(cfg, key):
        if not unknown and isinstance(error, KeyError) and 'type' in part:
            if str(part['type']) in str(error):
                try:
                    find_class(part, place, scope)
                except ValueError as found:
                    return found
        elif unknown and unknown.group(1) in part and 'type' in part:
            name = unknown.group(1)
            known = arguments_of(find_class(part, place, scope))[0]
            return ValueError(
                f'{place}.{name}={part[name]!r}: {part["type"]} has no such setting'
                f'{nearest(name, known)}; where a base config brought it, set '
                f'_delete_=True beside the new settings. {error}'
            )
    return type(error)(f'{key} cannot be built: {error}')


def _parts(cfg: Any, key: str) -> Iterator[Tuple[str, dict]]:
    """All dicts of a nested config, with their keys."""
    if isinstance(cfg, dict):
        yield key, cfg
        for name, value in cfg.items():
            yield from _parts(value, f'{key}.{name}')
    elif isinstance(cfg, (list, tuple)):
        for index, value in enumerate(cfg):
            yield from _parts(value, f'{key}[{index}]')
