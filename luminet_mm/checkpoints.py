"""Reading a checkpoint as data: tensors and plain metadata, and nothing that runs.

A checkpoint is a pickle, and a pickle may name any function of any module and have it
called. Here it may name what :func:`_known` lists; whatever else it names is replaced
by an object that does nothing.
"""

import builtins
import collections
import hashlib
import inspect
import io
import logging
import os
import os.path as osp
import pickle
import re
from collections import OrderedDict
from functools import lru_cache
from glob import escape, glob
from types import SimpleNamespace
from typing import Any, Dict, Optional, Sequence, Union
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import barrier, is_main_process
from mmengine.fileio import get
from mmengine.logging import HistoryBuffer, print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import nn

PYTHON2 = pickle._compat_pickle
REBUILDS = (
    '_rebuild_tensor',
    '_rebuild_tensor_v2',
    '_rebuild_tensor_v3',
    '_rebuild_parameter',
)
# Classes whose objects keep methods of theirs
METHODS = {
    HistoryBuffer: ('current', 'max', 'mean', 'min'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}
# What losses of features learn, beside the student in its checkpoints
CONNECTORS = 'distill_losses.'
# What a distillation's checkpoint has beside the student, or a student's lacks: peers,
# connectors, and the averages of releases before mmengine
EXTRAS = ('peers.', CONNECTORS, 'ema_')
LOG = ('max_length', '_log_history', '_count_history')
# What the zoos append to a file's name: the first digits of its sha256
HASH = re.compile(r'-([0-9a-f]{8,64})\.\w+$')


def read_checkpoint(
    path: str, key: str, map_location: Union[str, torch.device, None] = 'cpu'
) -> dict:
    """Read a checkpoint without running any code that it holds.

    Args:
        path (str): A file, or an ``http(s)`` URL, which is downloaded once to torch
            hub's cache and compared with the hash in its name, if it has one; or the
            URL of one of mmengine's file backends. ``.safetensors`` is read by that
            library, everything else as ``torch.save`` has written it in any version.
        key (str): The config key that holds ``path``, for messages.
        map_location (str | torch.device, optional): As for ``torch.load``. Defaults
            to 'cpu'.

    Returns:
        dict: What was saved. Classes and functions other than those of tensors, numpy
        and mmengine's logs stand there as inert objects, and are named in one warning.

    Raises:
        ImportError: If it takes safetensors, which is not installed.
        ValueError: If it cannot be found or read, is no dict, or is not the file that
            the hash in its name stands for.
    """
    place = f'{key}={path!r}'
    unknown: Dict[str, type] = {}
    path = osp.expanduser(path)
    if '://' not in path and not osp.isfile(path):
        raise ValueError(f'{place}: no such file (looked for {osp.abspath(path)})')
    try:
        if path.startswith(('http://', 'https://')):
            path = _download(path)
        checkpoint = _load(path, map_location, unknown)
    except ImportError as error:
        raise ImportError(f'{place}: {error}') from error
    except Exception as error:  # torch, zipfile, pickle and urllib all differ
        named = f' (it names {", ".join(sorted(unknown))})' if unknown else ''
        raise ValueError(
            f'{place} cannot be read: {type(error).__name__}: {error}{named}'
            f'{_looks_like(path)}'
        ) from error
    if unknown:
        print_log(
            f'{place} holds what is no data and was left out: '
            f'{", ".join(sorted(unknown))}. Whoever trusts the file and needs them can '
            'read it by torch.load',
            logger='current',
            level=logging.WARNING,
        )
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'{place} holds a {type(checkpoint).__name__}, not a dict of weights'
        )
    return checkpoint


def _looks_like(path: str) -> str:
    """What a file is that is no checkpoint, as far as its beginning tells."""
    if not osp.isfile(path):
        return ''
    with open(path, 'rb') as file:
        start = file.read(64)
    if not start:
        return '; the file is empty'
    if start.lstrip().startswith(b'<'):
        return '; the file is a web page'
    return '; the file is a text' if start.isascii() and b'\0' not in start else ''


def use_safe_loading() -> None:
    """Have mmengine read by :func:`read_checkpoint`: ``load_from``, resuming and the
    weights that an ``init_cfg`` names, from files, ``http(s)``, S3 and the zoos."""
    register = mmengine_checkpoint.CheckpointLoader.register_scheme
    ceph = [r'(\S+\:)?s3://', r'(\S+\:)?petrel://']
    register(['', 'http://', 'https://', *ceph], loader=load_from_any, force=True)
    # called by name for torchvision:// and the other zoos
    mmengine_checkpoint.load_from_http = load_from_any


def load_from_any(
    filename: str, map_location: Union[str, torch.device, None] = None
) -> dict:
    """:func:`read_checkpoint` as mmengine calls its loaders."""
    checkpoint = read_checkpoint(filename, 'checkpoint', map_location)
    meta = checkpoint.get('meta')
    if isinstance(meta, dict):
        meta.pop('config', None)  # Runner.resume would run this text
    return checkpoint


def use_safe_checkpoints(cfg: Config, resume: Optional[str] = None) -> None:
    """Read and write a run's checkpoints safely.

    Args:
        cfg (Config): The run's config with its ``work_dir``, changed in place: the
            checkpoint hook becomes :class:`luminet_mm.hooks.SafeCheckpointHook`.
        resume (str, optional): File to resume from, or 'auto' for what
            :func:`find_resumable` finds in the work dir; if that is nothing, the run
            starts as its config says. Defaults to None, as the config says.
    """
    use_safe_loading()
    hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))  # mmengine's own
    hooks.update(cfg.get('default_hooks') or {})
    cfg.default_hooks = hooks
    hook = cfg.default_hooks.checkpoint
    if isinstance(hook, dict):
        kind = getattr(hook.get('type'), '__name__', hook.get('type'))
        if str(kind).split('.')[-1] == 'CheckpointHook':  # of whichever scope
            hook.type = 'luminet_mm.SafeCheckpointHook'
    if resume is None and cfg.get('resume') and not cfg.get('load_from'):
        resume = 'auto'
    if resume == 'auto':
        resume = find_resumable(cfg.work_dir)
        cfg.resume = False
    if resume:
        cfg.resume, cfg.load_from = True, resume


def find_resumable(work_dir: str) -> Optional[str]:
    """Find the newest checkpoint that a run can go on from.

    Args:
        work_dir (str): The run's.

    Returns:
        str | None: What ``last_checkpoint`` names, if it can be read; else, with a
        warning, the newest file beside it that can; None if there is none.
    """
    note = osp.join(work_dir, 'last_checkpoint')
    last = ''
    if osp.isfile(note):
        with open(note) as f:
            last = f.read().strip()
    if re.match(r'\S+://', last):
        return last
    folders = {osp.abspath(work_dir), osp.dirname(osp.abspath(last or note))}
    others = [path for folder in folders for path in glob(f'{escape(folder)}/*.pth')]
    others.sort(key=osp.getmtime, reverse=True)
    for path in filter(None, [last, *others]):
        try:
            checkpoint = read_checkpoint(path, 'resume')
        except ValueError as error:
            print_log(str(error), logger='current', level=logging.WARNING)
            continue
        if path == last:
            return path
        if {'meta', 'message_hub', 'optimizer'} <= set(checkpoint):
            print_log(
                f'{note} names {last!r}, so the run goes on from {path}, the newest '
                'checkpoint that can be read',
                logger='current',
                level=logging.WARNING,
            )
            return path
    return None


def check_fits(model: nn.Module, checkpoint: dict, filename: str, config: str) -> None:
    """Check that a checkpoint has all weights of a model, by loading them.

    What only training needs may be missing, left over or of another shape.

    Args:
        model (Module): A model, distiller or test-time augmentation.
        checkpoint (dict): What the file holds.
        filename (str): The file, for messages.
        config (str): The model's config, for messages.

    Raises:
        ValueError: If it is not of the model, whose rest would be random.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    saved = checkpoint.get('state_dict', checkpoint)
    weights = OrderedDict(
        (re.sub(r'^module\.', '', name), weight) for name, weight in saved.items()
    )
    for name in [name for name in weights if name.startswith(EXTRAS)]:
        del weights[name]
    weights._metadata = getattr(saved, '_metadata', OrderedDict())
    try:
        missing, unexpected = model.load_state_dict(weights, strict=False)
        problems = dict(missing=missing, unexpected=unexpected)
    except RuntimeError as error:
        _, *lines = str(error).splitlines()  # the first one names the class
        problems = {'of another shape': [line.strip() for line in lines]}
    found = []
    for problem, names in problems.items():
        names = [name.replace('student.', '', 1) for name in names]
        names = [
            name
            for name in names
            # what a model drops of a file, it makes itself
            if not (problem == 'missing' and name in weights)
            and not name.startswith(EXTRAS)
            and not name.endswith('num_batches_tracked')
        ]
        if names:
            more = ', ...' * (len(names) > 3)
            found.append(f'{len(names)} {problem}: {", ".join(names[:3])}{more}')
    if found:
        raise ValueError(
            f'{filename} is not of the model of {config}, tensors {"; ".join(found)}'
        )


def classes_of(checkpoint: dict) -> Optional[Sequence[str]]:
    """Class names that a checkpoint was trained on.

    Args:
        checkpoint (dict): What the file holds.

    Returns:
        Sequence[str] | None: The names, as mmengine or older OpenMMLab releases record
        them, or None.
    """
    meta = checkpoint.get('meta')
    if not isinstance(meta, dict):
        return None
    known = meta.get('dataset_meta')
    known = known if isinstance(known, dict) else meta
    classes = known.get('classes') or known.get('CLASSES')
    return classes if isinstance(classes, (list, tuple)) else None


def read_data(
    file: Union[str, io.BytesIO],
    map_location: Union[str, torch.device, None],
    unknown: Dict[str, type],
) -> Any:
    """Read what ``torch.save`` has written, as :func:`read_checkpoint` does.

    Args:
        file (str | BytesIO): The file, or what it holds.
        map_location (str | torch.device, optional): As for ``torch.load``.
        unknown (dict[str, type]): Takes what was made inert, by its name.

    Returns:
        Any: What was saved.

    Raises:
        ValueError: If it is a program of TorchScript.
    """
    try:
        records = torch._C.PyTorchFileReader(file).get_all_records()
    except RuntimeError:  # the format before torch 1.6, or none
        records = ()
    if 'constants.pkl' in records:  # torch.load would run it
        raise ValueError('it is a TorchScript program, not a checkpoint')
    if not isinstance(file, str):
        file.seek(0)

    class Unpickler(_DataUnpickler):
        inert = unknown

    module = SimpleNamespace(
        __name__=__name__,
        Unpickler=Unpickler,
        load=lambda f, **kwargs: Unpickler(f, **kwargs).load(),
    )
    kwargs = {}
    if 'weights_only' in inspect.signature(torch.load).parameters:
        kwargs['weights_only'] = False  # its list lacks numpy and mmengine
    return torch.load(file, map_location=map_location, pickle_module=module, **kwargs)


class _DataUnpickler(pickle._Unpickler):
    """Makes no objects but those of the list; in Python, where an opcode can change."""

    dispatch = dict(pickle._Unpickler.dispatch)
    inert: Dict[str, type]

    def find_class(self, module: str, name: str) -> Any:
        # torch saves by Python 2's protocol, with its names
        module, name = PYTHON2.NAME_MAPPING.get(
            (module, name), (PYTHON2.IMPORT_MAPPING.get(module, module), name)
        )
        full_name = f'{module}.{name}'
        known = _known()
        if full_name == 'builtins.getattr':
            return self._getattr
        if full_name in known:
            return known[full_name]
        return self._inert(full_name)

    def _inert(self, full_name: str) -> type:
        return self.inert.setdefault(full_name, type(full_name, (_Inert,), {}))

    def _getattr(self, owner: Any, name: str) -> Any:
        """How a pickle names a method; mmengine's own files have such."""
        if any(owner is cls and name in METHODS[cls] for cls in METHODS):
            return getattr(owner, name)
        return self._inert('builtins.getattr')()

    def load_build(self) -> None:
        owner, state = self.stack[-2:]
        # a class or function gets no attributes: they would outlive the reading
        if isinstance(owner, type) or inspect.isroutine(owner):
            raise pickle.UnpicklingError(f'it sets the state of {owner!r}')
        if isinstance(owner, HistoryBuffer):  # its methods would be every log's
            self.stack[-1] = {name: state[name] for name in LOG if name in state}
        # numpy believes flags that make pointers of bytes; the byte order may differ
        if isinstance(owner, np.dtype):
            own = owner.__reduce__()[2]
            if (*state[:1], *state[2:]) != (*own[:1], *own[2:]):
                raise pickle.UnpicklingError(f'it makes another type of {owner!r}')
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build


class _Inert:
    """Stands for an object of any class, and for what calling it would give."""

    def __new__(cls, *args: Any, **kwargs: Any) -> '_Inert':
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def _nothing(self, *args: Any, **kwargs: Any) -> None:
        pass

    __setstate__ = __setitem__ = append = extend = add = _nothing

    def __call__(self, *args: Any, **kwargs: Any) -> '_Inert':
        return self

    def __repr__(self) -> str:
        return f'<{type(self).__name__}, left out>'

    def __reduce__(self) -> tuple:
        return str, (repr(self),)


def _encode(text: str, encoding: str) -> bytes:
    """``codecs.encode`` for how old protocols write bytes; others import modules."""
    return text.encode('latin1')


def _dtype(name: str, align: bool = False, copy: bool = True) -> np.dtype:
    """``numpy.dtype``, never one that all arrays share: its state is set next."""
    return np.dtype(str(name), bool(align), True)


@lru_cache(maxsize=None)
def _known() -> Dict[str, Any]:
    """What a checkpoint may name: all that tensors, arrays, plain containers and
    mmengine's logs, configs and schedulers are made of."""
    known = {
        '_codecs.encode': _encode,
        'numpy.dtype': _dtype,
        'numpy.ndarray': np.ndarray,
        'builtins.str': str.__str__,  # of a text alone
        'torch.Size': torch.Size,
        'torch.device': torch.device,
        'torch.storage.UntypedStorage': getattr(torch, 'UntypedStorage', None),
        'mmengine.config.config.ConfigDict': ConfigDict,
    }
    for cls in METHODS:
        known[f'{cls.__module__}.{cls.__name__}'] = cls
    for name in ('set', 'frozenset', 'complex', 'range', 'slice'):
        known[f'builtins.{name}'] = getattr(builtins, name)
    for name in ('OrderedDict', 'Counter', 'defaultdict', 'deque'):
        known[f'collections.{name}'] = getattr(collections, name)
    for name in REBUILDS:
        known[f'torch._utils.{name}'] = getattr(torch._utils, name, None)
    for name, value in vars(torch).items():
        storage = isinstance(value, type) and name.endswith('Storage')
        if storage or isinstance(value, torch.dtype):
            known[f'torch.{name}'] = value
    for package in ('core', '_core'):  # before numpy 2, and since
        for value in (np.array(0), np.float64(0)):
            function = value.__reduce__()[0]
            known[f'numpy.{package}.multiarray.{function.__name__}'] = function
    return {name: value for name, value in known.items() if value is not None}


def _load(
    path: str, map_location: Union[str, torch.device, None], unknown: Dict[str, type]
) -> Any:
    if path.endswith('.safetensors'):
        try:
            from safetensors.torch import load_file
        except ImportError as error:
            raise ImportError('to read it, `pip install safetensors`') from error
        return load_file(path)
    file = io.BytesIO(get(path)) if '://' in path else path
    return read_data(file, map_location, unknown)


def _download(url: str) -> str:
    """Download a file once, and check it against the hash in its name."""
    name = osp.basename(urlparse(url).path)
    path = osp.join(torch.hub.get_dir(), 'checkpoints', name)

    def download() -> None:
        if not osp.isfile(path):
            os.makedirs(osp.dirname(path), exist_ok=True)
            torch.hub.download_url_to_file(url, path)  # whole or not at all

    try:
        if is_main_process():
            download()
    finally:  # where that failed the others do not wait for it
        barrier()
    download()  # by the processes of other machines
    expected = HASH.search(name)
    if expected:
        with open(path, 'rb') as f:
            digest = hashlib.sha256()
            for block in iter(lambda: f.read(1 << 20), b''):
                digest.update(block)
        if not digest.hexdigest().startswith(expected[1]):
            raise ValueError(
                f'{path}, downloaded from there, has the sha256 '
                f'{digest.hexdigest()[:8]}..., but its name says {expected[1]}: it is '
                'broken or another file; delete it to download it again'
            )
    return path
