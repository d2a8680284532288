"""Where a model's config comes from: the model zoo, a file, or inline."""

import copy
import importlib.util
import os.path as osp
import traceback
from typing import Iterator, Tuple, Union

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config

from .checks import check_type, nearest
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
        ValueError: If there is no such package, config, or pretrained weights, or the
            file cannot be read.
    """
    if '::' not in cfg_path:
        if not osp.isfile(cfg_path):
            problem = 'is a folder' if osp.isdir(cfg_path) else 'no such file'
            raise ValueError(
                f'{key}={cfg_path!r}: {problem} (looked for {osp.abspath(cfg_path)}); '
                "give a config file, or 'package::path.py' for one of a model zoo"
            )
        return _read(cfg_path, key)

    package = cfg_path.split('::')[0]
    if package not in MODULE2PACKAGE or importlib.util.find_spec(package) is None:
        raise ValueError(
            f'{key}={cfg_path!r}: the package {package!r} is not installed; '
            f'`pip install {MODULE2PACKAGE.get(package, package)}` or name one of '
            f'{sorted(MODULE2PACKAGE)}'
        )
    try:
        cfg = get_config(cfg_path, pretrained)
        if pretrained and 'model_path' not in cfg:
            raise KeyError('no metafile lists any')
        return cfg
    except (AssertionError, FileNotFoundError, KeyError, ValueError) as error:
        missing = 'pretrained weights for it' if pretrained else 'such config'
        raise ValueError(
            f'{key}={cfg_path!r}: {package} has no {missing} in its model zoo ({error})'
        ) from error


def _read(path: str, key: str) -> Config:
    """``Config.fromfile``; what is wrong in the file is said in one line."""
    try:
        return Config.fromfile(path)
    except Exception as error:  # a config may hold any mistake that Python knows
        place = ''
        for frame, line in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_name == '<module>':
                place = f' in line {line} of {frame.f_code.co_filename}'
            elif isinstance(error, SyntaxError) and 'filename' in frame.f_locals:
                if frame.f_globals['__name__'] == Config.__module__:
                    place = f' in {frame.f_locals["filename"]}'  # maybe of a base
        raise ValueError(
            f'{key}={path!r} cannot be read: {type(error).__name__}{place}: '
            f'{error.__cause__ or error}'
        ) from None


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
        from a ``cfg_path`` carries the scope of its own config, its preprocessor, and
        in its ``init_cfg`` the ``load_from`` that it would start from alone.

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
            hints = (nearest(name, ('cfg_path', 'type')) for name in model)
            raise ValueError(
                f'{key} has neither `cfg_path` nor `type`, only {sorted(model)}'
                f"{next(filter(None, hints), '')}: name a config ('package::path.py' "
                'or a file) or give the model inline'
            )
        return model

    check_type(f'{key}.cfg_path', cfg_path, str, "'package::path.py' or a file")
    whole = load_cfg(cfg_path, f'{key}.cfg_path')
    if not isinstance(whole.get('model'), dict):
        raise ValueError(f'{key}.cfg_path={cfg_path!r} defines no dict `model`')
    resolved = Config(dict(model=whole.model))
    # mmpretrain keeps the preprocessor beside the model; its runner merges them
    if 'data_preprocessor' in whole:
        resolved.model.setdefault('data_preprocessor', whole.data_preprocessor)
    if whole.get('default_scope'):
        resolved.model.setdefault('_scope_', whole.default_scope)
    # a run of this config would start from there; mmengine loads Pretrained last
    if whole.get('load_from') and 'init_cfg' not in model:
        resolved.model.pop('pretrained', None)  # mmpretrain's, which would be the first
        init_cfg = resolved.model.get('init_cfg') or []
        resolved.model.init_cfg = [
            *([init_cfg] if isinstance(init_cfg, dict) else init_cfg),
            dict(type='Pretrained', checkpoint=whole.load_from),
        ]
    resolved.merge_from_dict(dict(model=model))
    return resolved.model


def load_whole_cfg(cfg: Config) -> Config:
    """Put the models that a distiller names into a run's config.

    Args:
        cfg (Config): The run's config.

    Returns:
        Config: One of the same run that needs no other config file.
    """
    cfg = copy.deepcopy(cfg)
    _name_zoo_ckpts(cfg)
    for key, model in named_models(cfg):
        if 'cfg_path' in model:
            whole = load_inline_cfg(cfg, model, key)
            _import_too(cfg, load_cfg(model.cfg_path, f'{key}.cfg_path'))
            model.clear()
            model.update(whole)
    return cfg


def _import_too(cfg: Config, other: Config) -> None:
    """Have a run import what another config's models are registered by."""
    named = [each.get('custom_imports') or {} for each in (cfg, other)]
    imports = [each.get('imports') or [] for each in named]
    imports = [[each] if isinstance(each, str) else [*each] for each in imports]
    if imports[1]:
        every = dict.fromkeys(imports[0] + imports[1])
        cfg.custom_imports = dict(named[1], **named[0])
        cfg.custom_imports.imports = [*every]


def load_inline_cfg(cfg: Config, model: ConfigDict, key: str) -> ConfigDict:
    """The config of a distiller's model as it can stand in the run's.

    As :func:`load_model_cfg`, but where the run has a ``data_preprocessor``, which
    comes before that of the student's file, the student has none.
    """
    whole = load_model_cfg(model, key)
    of_run = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')
    if key == 'model.student' and of_run and 'data_preprocessor' not in model:
        whole.pop('data_preprocessor', None)
    return whole


def named_models(cfg: Config) -> Iterator[Tuple[str, ConfigDict]]:
    """Key and config of each model of a run's distiller, if it has one."""
    distiller = cfg.get('model') or {}
    if not isinstance(distiller, dict) or not distiller.get('student'):
        return
    for role in ('student', 'teacher', 'peers'):
        found = distiller.get(role)
        if isinstance(found, dict):
            yield f'model.{role}', found
        for i, model in enumerate(found if isinstance(found, (list, tuple)) else ()):
            yield f'model.{role}[{i}]', model


def innermost_dataset(dataset: dict) -> dict:
    """The data set that reads files, inside of what wraps it.

    Args:
        dataset (dict): Config of a data loader's data set. Wrappers have what they wrap
            under ``dataset``, or under ``datasets``, of which the first one counts.
    """
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset


def _name_zoo_ckpts(cfg: Config) -> None:
    """Set the checkpoints that a teacher's name of the model zoo stands for."""
    teachers = [model for key, model in named_models(cfg) if 'teacher' in key]
    if not teachers:
        return
    ckpts = cfg.model.get('teacher_ckpt')
    ckpts = list(ckpts) if isinstance(ckpts, (list, tuple)) else [ckpts] * len(teachers)
    for i, (teacher, ckpt) in enumerate(zip(teachers, ckpts)):
        if ckpt is None and '::' in teacher.get('cfg_path', ''):
            ckpts[i] = teacher.cfg_path
    single = isinstance(cfg.model.teacher, dict)
    cfg.model.teacher_ckpt = ckpts[0] if single else ckpts
