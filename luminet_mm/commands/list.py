"""List what there is to choose from: methods, models, or configs.

methods    names for `luminet distill --method`, with the task of each
models     mmdet's and mmpretrain's zoos, names for TEACHER and STUDENT; of at most 20
           that match PATTERN it is said whether they were shown to be distilled right
configs    those that come with luminet_mm, also in an installation without a checkout
"""

import argparse
import fnmatch
import inspect
import os.path as osp
from glob import glob
from importlib.util import find_spec
from typing import Dict, Iterator, List, Tuple

import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope

from ..checks import nearest
from ..distillers.base_distiller import build_source
from ..distillers.building import build_model
from ..distillers.proof import is_proven
from ..driver.methods import CONFIGS, FILES, NOT_ALONE, methods_of
from ..driver.preflight import quiet
from ..registry import MODELS

ZOOS = ('mmdet', 'mmpretrain')
TRIED = 20  # models at most, as each is built, which takes a second or two
# Libraries of wheels have a faster reader
Loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to list, and which of them."""
    parser.add_argument('what', choices=['methods', 'models', 'configs'])
    parser.add_argument(
        'pattern',
        nargs='?',
        default='',
        metavar='PATTERN',
        help="a part of the name, or one with wildcards, e.g. 'mmdet::*r18*coco*'",
    )


def run(args: argparse.Namespace) -> None:
    """Print a line for each.

    Raises:
        ValueError: If there is none.
    """
    rows = dict(methods=_methods, models=_models, configs=_configs)[args.what]()
    chosen = {k: v for k, v in rows.items() if _matches(k, args.pattern)}
    if not chosen:
        hint = nearest(args.pattern, rows)
        raise ValueError(f'{args.pattern!r}: there are no such {args.what}{hint}')
    width = max(map(len, chosen))
    tried = args.what == 'models' and args.pattern and len(chosen) <= TRIED
    for name, text in chosen.items():
        if tried:
            text = f'{text}; {_verdict(name)}'
        print(f'{name:<{width}}  {text}'.rstrip(), flush=True)
    if args.what == 'models' and not tried:
        print(
            f'{len(chosen)} models. A PATTERN that at most {TRIED} match also tells '
            'which were shown to be distilled right'
        )


def _matches(name: str, pattern: str) -> bool:
    wild = pattern if any(char in pattern for char in '*?[') else f'*{pattern}*'
    return fnmatch.fnmatchcase(name.lower(), wild.lower())


def _configs() -> Dict[str, str]:
    """All that are to be run, not those that others inherit from."""
    paths = glob(osp.join(CONFIGS, '**', '*.py'), recursive=True)
    names = (osp.relpath(path, CONFIGS).replace(osp.sep, '/') for path in paths)
    return {
        f'luminet_mm::{name}': ''
        for name in sorted(names)
        if not {'_base_', 'pairs'} & {*name.split('/')}
    }


def _methods() -> Dict[str, str]:
    """Each method with its tasks, and what its losses say of themselves."""
    MODELS.import_from_location()
    tasks: Dict[str, List[str]] = {}
    taught: Dict[str, str] = {}
    for task, file in FILES.items():
        written = Config.fromfile(osp.join(CONFIGS, '_base_', file))
        alone = methods_of(task)
        for name, method in written.items():
            if name in alone or name in NOT_ALONE:
                tasks.setdefault(name, []).append(task)
                taught[name] = _lessons(alone.get(name, method))
                if name not in alone:
                    taught[name] += ' (by a config of its own, not by --method)'
    return {name: f'[{", ".join(tasks[name])}] {taught[name]}' for name in taught}


def _lessons(method: dict) -> str:
    """First lines of the docstrings of a method's losses, and of its own distiller."""
    parts = [method] if 'type' in method else []
    parts += method['distill_losses'].values()
    classes = [MODELS.get(part['type']) for part in parts]
    lines = [inspect.getdoc(cls).split('\n')[0].rstrip('.') for cls in classes]
    return '; '.join(dict.fromkeys(lines))


def _models() -> Dict[str, str]:
    """Each model of the zoos with its first published metric."""
    return dict(sorted(row for zoo in ZOOS if find_spec(zoo) for row in _zoo(zoo)))


def _zoo(package: str) -> Iterator[Tuple[str, str]]:
    root = osp.join(osp.dirname(find_spec(package).origin), '.mim')
    for path in _read(osp.join(root, 'model-index.yml'))['Import']:
        meta = _read(osp.join(root, path))
        for model in meta.get('Models') or () if isinstance(meta, dict) else meta:
            config = model.get('Config') or ''
            if osp.isfile(osp.join(root, config)):
                name = f'{package}::{config.partition("/")[2]}'
                yield name, _published(model)


def _read(path: str) -> dict:
    with open(path, encoding='utf-8') as file:
        return yaml.load(file, Loader)


def _published(model: dict) -> str:
    for result in model.get('Results') or ():
        for metric, value in (result.get('Metrics') or {}).items():
            return f'{metric} {value} on {result.get("Dataset")}'
    return 'no metric published'


def _verdict(name: str) -> str:
    """What is known of a zoo's model as a student or teacher."""
    init_default_scope(name.split('::')[0])
    try:
        with quiet():
            model, _ = build_model(dict(cfg_path=name), 'model')
        source = build_source(None, model)
        source.check_model(model, 'model')
    except ValueError as error:
        return f'refused: {error}'
    except Exception as error:  # a file or library of its own that is not here
        return f'cannot be built here: {type(error).__name__}: {error}'
    return 'shown' if is_proven(source, model) else 'not shown'
