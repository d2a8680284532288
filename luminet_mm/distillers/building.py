"""Models, and what can be said of them, from what a config says."""

import inspect
import re
from typing import Any, Iterator, Optional, Tuple

from mmengine.model import BaseModel
from torch import nn

from ..checks import arguments_of, nearest
from ..config import load_model_cfg
from ..registry import MODELS


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
            that ``cfg_path`` names. Defaults to False: each model has pixels of its
            own.

    Returns:
        tuple[BaseModel, str]: The model, its weights not initialised yet, and where
        its preprocessor comes from.

    Raises:
        ValueError: If ``cfg`` sets a preprocessor of its own where the run's decides,
            or a key that the model does not know.
    """
    own = cfg.get('data_preprocessor') if isinstance(cfg, dict) else None
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
        origin = 'as they come, since no config has a data_preprocessor'
    try:
        return MODELS.build(cfg), origin
    except TypeError as error:
        raise _explain(error, cfg, key) from error


def find_class(cfg: dict, scope: Optional[str] = None) -> Any:
    """The class that mmengine would build a part of a model from, or None.

    Args:
        cfg (dict): Config with a ``type``.
        scope (str, optional): Where it is looked up, if the config does not say so.
            Defaults to None, the run's scope.
    """
    kind = cfg.get('type')
    if not isinstance(kind, str):
        return kind
    with MODELS.switch_scope_and_registry(cfg.get('_scope_', scope)) as registry:
        return registry.get(kind)


def name_of(cfg: dict) -> str:
    """What a model is called: its config, or its class where it is given inline."""
    name = cfg.get('cfg_path') or cfg.get('type')
    return name if isinstance(name, str) else getattr(name, '__name__', str(name))


def num_params(model: nn.Module, trained: bool = True) -> int:
    """Number of a model's parameters that are trained, or that are not."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad == trained)


def initial_weights(model: BaseModel) -> str:
    """Where the weights come from that ``init_weights`` gives a model."""
    found = {
        init['checkpoint']: name or 'all of it'
        for name, module in model.named_modules()
        for init in _as_list(getattr(module, 'init_cfg', None))
        if 'Pretrained' in str(init.get('type'))
    }
    if not found:
        return 'random weights'
    return ', '.join(f'{ckpt} ({part})' for ckpt, part in found.items())


def _as_list(init_cfg: Any) -> list:
    return [init_cfg] if isinstance(init_cfg, dict) else list(init_cfg or ())


def _explain(error: TypeError, cfg: dict, key: str) -> Exception:
    """Name the setting of a config that a class does not know, and the nearest one."""
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    for place, part in _parts(cfg, key) if unknown else ():
        name = unknown.group(1)
        if name in part and 'type' in part:
            cls = find_class(part, cfg.get('_scope_'))
            known = arguments_of(cls)[0] if inspect.isclass(cls) else ()
            return ValueError(
                f'{place}.{name}={part[name]!r}: {part["type"]} has no such setting'
                f'{nearest(name, known)}; where a base config brought it, set '
                f'_delete_=True beside the new settings. {error}'
            )
    return TypeError(f'{key} cannot be built: {error}')


def _parts(cfg: Any, key: str) -> Iterator[Tuple[str, dict]]:
    """All dicts of a nested config, with their keys."""
    if isinstance(cfg, dict):
        yield key, cfg
        for name, value in cfg.items():
            yield from _parts(value, f'{key}.{name}')
    elif isinstance(cfg, (list, tuple)):
        for index, value in enumerate(cfg):
            yield from _parts(value, f'{key}[{index}]')
