"""Weights that a model starts from, where they can be had."""

import inspect
import socket
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional

from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader

from ..checkpoints import use_safe_loading
from ..config import load_cfg
from ..distillers.building import find_class

TIMEOUT = 20  # seconds without an answer, after which a download is given up


def use_zoo_weights(cfg: Config, name: str) -> List[str]:
    """Have a run start from the weights that its zoo lists for its model.

    Args:
        cfg (Config): The run's config, changed in place: ``load_from`` is set, and what
            ``init_cfg`` names inside of the model is left out, since those weights hold
            it, or since it cannot be had. What then starts from random weights is not
            frozen.
        name (str): What names the model, as :func:`plain_cfg` takes it.

    Returns:
        list[str]: What cannot be had and why, a line each.

    Raises:
        ValueError: If ``load_from`` names a file that cannot be had.
    """
    problems: List[str] = []
    is_in_zoo = '::' in name and not name.startswith('luminet_mm::')
    if is_in_zoo and not cfg.get('load_from'):
        try:
            cfg.load_from = load_cfg(name, 'config', pretrained=True).model_path
        except ValueError as error:
            problems.append(str(error))
    if cfg.get('load_from'):
        problem = _problem(cfg.load_from)
        if problem and '://' not in cfg.load_from:
            raise ValueError(f'load_from: {problem}')
        if not problem:
            for part in list(_pretrained(cfg.model)):
                part['init_cfg'] = None
            return []
        cfg.load_from = None
        problems.append(problem)
    for part in list(_pretrained(cfg.model)):
        problem = _problem(part['init_cfg']['checkpoint'])
        if problem:
            part['init_cfg'] = None
            unfrozen = _unfreeze(part, cfg.get('default_scope'))
            problems.append(problem + unfrozen)
    return problems


def _unfreeze(part: Dict[str, Any], scope: Optional[str]) -> str:
    """Have a backbone learn all of itself, as what is frozen would stay random."""
    defaults = _defaults(find_class(part, 'backbone', scope))
    learning = dict(frozen_stages=-1, norm_eval=False)
    changed = {
        key: value
        for key, value in learning.items()
        if part.get(key, defaults.get(key, value)) != value
    }
    part.update(changed)
    norm_cfg = part.get('norm_cfg')
    if isinstance(norm_cfg, dict) and not norm_cfg.get('requires_grad', True):
        norm_cfg['requires_grad'] = changed['norm_cfg.requires_grad'] = True
    settings = ', '.join(f'{key}={value}' for key, value in changed.items())
    return f'; so all of it is trained ({settings})' if changed else ''


def _defaults(cls: type) -> Dict[str, Any]:
    """Defaults of a class's arguments, those that it hands on to its bases as well."""
    defaults: Dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        parameters = inspect.signature(base.__init__).parameters.values()
        defaults.update({p.name: p.default for p in parameters if p.default != p.empty})
    return defaults


def _pretrained(part: Any) -> Iterator[Dict[str, Any]]:
    """Each dict of a model's config whose ``init_cfg`` names a checkpoint."""
    if isinstance(part, dict):
        init_cfg = part.get('init_cfg')
        if isinstance(init_cfg, dict) and init_cfg.get('checkpoint'):
            yield part
        for each in list(part.values()):
            yield from _pretrained(each)
    elif isinstance(part, (list, tuple)):
        for each in part:
            yield from _pretrained(each)


def _problem(checkpoint: str) -> str:
    """Why a checkpoint cannot be had, or nothing where it can and is in the cache."""
    use_safe_loading()
    try:
        with _impatient():
            CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    except Exception as error:  # files, networks and pickles all differ
        cause = error.__cause__ or error
        return f'{checkpoint} cannot be had ({type(cause).__name__}: {cause})'
    return ''


@contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
