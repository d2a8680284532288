"""Where a model's config comes from: the model zoo, a file, or inline."""

import importlib.util
import os.path as osp
from typing import Any, Optional, Union

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config

from .compat import MODULE2PACKAGE


def load_cfg(cfg_path: str, key: str, pretrained: bool = False) -> Config:
    """Load a config from a package's model zoo or from a file.

    Args:
        cfg_path (str): ``package::path.py``, e.g.
            'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', or the path of
            a config file.
        key (str): The config key that holds ``cfg_path``, for error messages.
        pretrained (bool): Also look up the zoo's weights, given as
            ``cfg.model_path``. Defaults to False.

    Returns:
        Config: The whole config.

    Raises:
        ValueError: If there is no such package, config, or pretrained weights.
    """
    if '::' not in cfg_path:
        if not osp.isfile(cfg_path):
            raise ValueError(
                f'{key}={cfg_path!r}: no such file (looked for '
                f"{osp.abspath(cfg_path)}); give a config file, or 'package::path.py' "
                'for one of a model zoo'
            )
        return Config.fromfile(cfg_path)

    package = cfg_path.split('::')[0]
    if package not in MODULE2PACKAGE or importlib.util.find_spec(package) is None:
        raise ValueError(
            f'{key}={cfg_path!r}: the package {package!r} is not installed; '
            f'`pip install {MODULE2PACKAGE.get(package, package)}` or name one of '
            f'{sorted(MODULE2PACKAGE)}'
        )
    try:
        return get_config(cfg_path, pretrained)
    except (AssertionError, FileNotFoundError, KeyError, ValueError) as error:
        missing = 'pretrained weights for it' if pretrained else 'such config'
        raise ValueError(
            f'{key}={cfg_path!r}: {package} has no {missing} in its model zoo ({error})'
        ) from error


def load_model_cfg(model: Union[dict, ConfigDict], key: str) -> ConfigDict:
    """Resolve a ``cfg_path`` and merge what stands beside it.

    Args:
        model (dict): ``dict(cfg_path=..., **overrides)`` with ``cfg_path`` as in
            :func:`load_cfg`, or the model's config inline with its ``type``.
            Overrides are merged as mmengine merges a child config, ``_delete_``
            included.
        key (str): The config key that holds ``model``, for error messages.

    Returns:
        ConfigDict: The model's config, ready for ``MODELS.build``. One that came
        from a ``cfg_path`` carries the scope of its own config.

    Raises:
        TypeError: If ``model`` is not a dict.
        ValueError: If it has neither ``cfg_path`` nor ``type``, or
            ``cfg_path`` cannot be resolved.
    """
    if not isinstance(model, dict):
        raise TypeError(
            f'{key} must be a dict with `cfg_path` or `type`, not {model!r}'
        )
    model = ConfigDict(model)
    cfg_path = model.pop('cfg_path', None)
    if cfg_path is None:
        if 'type' not in model:
            raise ValueError(
                f'{key} has neither `cfg_path` nor `type`, only {sorted(model)}: name '
                "a config ('package::path.py' or a file) or give the model inline"
            )
        return model

    whole = load_cfg(cfg_path, f'{key}.cfg_path')
    if 'model' not in whole:
        raise ValueError(f'{key}.cfg_path={cfg_path!r} defines no `model`')
    resolved = Config(dict(model=whole.model))
    # mmpretrain keeps the preprocessor beside the model; its runner merges them
    if 'data_preprocessor' in whole:
        resolved.model.setdefault('data_preprocessor', whole.data_preprocessor)
    if whole.get('default_scope'):
        resolved.model.setdefault('_scope_', whole.default_scope)
    resolved.merge_from_dict(dict(model=model))
    return resolved.model


def model_name(model: dict) -> str:
    """What a log calls a model: its ``cfg_path``, or its type, which may be a class.

    Args:
        model (dict): As :func:`load_model_cfg` takes it.
    """
    name = model.get('cfg_path') or model.get('type')
    return getattr(name, '__name__', str(name))


def merge_cfg_options(cfg: Config, options: Optional[dict]) -> None:
    """Merge ``--cfg-options`` into a config.

    As ``Config.merge_from_dict``, but a new ``data_root`` also reaches the places
    that were made of the old one when the config was parsed: data sets and
    annotation files of evaluators.

    Args:
        cfg (Config): The run's config, changed in place.
        options (dict, optional): Dotted keys and values.
    """
    old = cfg.get('data_root')
    cfg.merge_from_dict(options or {})
    new = cfg.get('data_root')
    if not old or new == old:
        return
    cfg.data_root = osp.join(new, '')
    _replace_prefix(cfg._cfg_dict, old, cfg.data_root)


def _replace_prefix(node: Any, old: str, new: str) -> Any:
    """Replace a prefix in all strings of nested dicts and lists, in place."""
    if isinstance(node, str):
        return new + node[len(old) :] if node.startswith(old) else node
    if isinstance(node, dict):
        for key in node:
            node[key] = _replace_prefix(node[key], old, new)
    elif isinstance(node, list):
        node[:] = [_replace_prefix(item, old, new) for item in node]
    return node
