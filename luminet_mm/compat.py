"""What it takes to work with the installed OpenMMLab stack as it is."""

import atexit
import importlib
import importlib.util
import re
import sys
import warnings
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Iterator, Optional, Tuple

import torch
from mmengine.config import Config, utils
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.device import get_device
from mmengine.utils import digit_version

# ``luminet_mm::path.py`` as a ``_base_`` or a ``cfg_path``: mmengine looks for
# the package in this table before it looks anywhere else.
MODULE2PACKAGE.setdefault('luminet_mm', 'luminet_mm')
_find_base = Config._get_cfg_path


def _find_base_without_scope(cfg_path: str, filename: str) -> Tuple[str, Optional[str]]:
    """Where a base lies, and the scope that mmengine gives to all types in it.

    Ours have none: they name our types with their scope, and leave those of mmdet and
    mmpretrain to ``default_scope``.
    """
    path, scope = _find_base(cfg_path, filename)
    return path, None if scope == 'luminet_mm' else scope


Config._get_cfg_path = staticmethod(_find_base_without_scope)

# A name of the model zoo is looked up in a hundred metafiles, which mmengine parses for
# each name: half a second
utils.load = lru_cache(maxsize=None)(utils.load)

# The parts of mmrazor 1.0 whose import calls functions that torch 2 removed.
# Everything else of it, distillation included, works without them.
MMRAZOR_QUANTIZATION = (
    'mmrazor.engine.runner.quantization_loops',
    'mmrazor.models.algorithms.quantization',
    'mmrazor.models.fake_quants',
    'mmrazor.models.observers',
    'mmrazor.models.quantizers',
    'mmrazor.structures.quantization',
)

# The newest mmcv that mmrazor 1.0 lets itself be imported with.
MMRAZOR_MMCV = '2.1.0'


# An import of mmpretrain's from transformers: the module, and the names.
_FROM_TRANSFORMERS = re.compile(
    r'^ *from (transformers[\w.]*) import (\([^)]*\)|.*)', re.MULTILINE
)


def enable_mmpretrain() -> None:
    """Make ``import mmpretrain.models`` and ``mmdet.models`` work beside transformers.

    mmpretrain 1 imports its multi-modal models wherever it finds transformers, and
    these want names that newer ones dropped (``transformers.modeling_utils`` of
    transformers 5 has no ``apply_chunking_to_forward``). Then this turns off
    mmpretrain's own switch for them. A transformers that fails in its own code, as
    newer ones do beside an older torch, is made to look missing, which mmdet and
    mmpretrain are prepared for. Either comes with a warning.

    It does nothing where transformers is not installed, has all names, or comes too
    late, since mmpretrain is imported already.
    """
    if (
        'mmpretrain.models' in sys.modules
        or importlib.util.find_spec('transformers') is None
    ):
        return
    problem, changed = None, False
    for name in ('transformers', 'transformers.modeling_utils'):
        try:
            importlib.import_module(name)
        except Exception as error:
            problem = f'{name}: {error}'
            if not isinstance(error, ImportError):
                sys.modules[name] = None
                changed = True
            break
    problem = problem or _unmet_import()
    if problem is not None:
        changed |= _switch_off_multimodal()
    if changed:
        warnings.warn(
            'multi-modal models (BLIP, LLaVA, GLIP, ...) are switched off, since the '
            f'installed transformers does not suit them: {problem}. All other models '
            'work.',
            stacklevel=2,
        )


def _unmet_import() -> Optional[str]:
    """What fails first of all that multi-modal models import from transformers."""
    spec = importlib.util.find_spec('mmpretrain')
    if spec is None or spec.origin is None:
        return None
    models = Path(spec.origin).parent / 'models'
    for path in (*models.glob('multimodal/**/*.py'), *models.glob('utils/*.py')):
        for module, names in _FROM_TRANSFORMERS.findall(path.read_text('utf-8')):
            for name in re.findall(r'\w+', names):
                try:
                    getattr(importlib.import_module(module), name)
                except Exception as error:
                    return f'{module}.{name}: {error}'
    return None


def _switch_off_multimodal() -> bool:
    """Turn off mmpretrain's switch; False where there is none, or it is off."""
    try:
        dependency = importlib.import_module('mmpretrain.utils.dependency')
    except Exception:  # whoever needs mmpretrain is told why it fails
        return False
    was_on, dependency.WITH_MULTIMODAL = dependency.WITH_MULTIMODAL, False
    return was_on


class _Unavailable(ModuleType):
    """Stands in for a module of mmrazor's quantization; its classes raise."""

    __all__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)

        def __init__(obj, *args, **kwargs):
            raise RuntimeError(
                f'{self.__name__}.{name} is not available: the quantization '
                f'half of mmrazor 1.0 does not work on torch {torch.__version__}. '
                'Use torch < 2 for quantization.'
            )

        return type(name, (), dict(__init__=__init__, __module__=self.__name__))


def enable_mmrazor() -> None:
    """Make ``import mmrazor.models`` work on torch 2 and newer.

    mmrazor 1.0 fails there (open-mmlab/mmrazor issues 615 and 632), because its
    quantization half calls private functions of ``torch.ao`` at import. This
    puts placeholders in the place of that half, which name the reason when they
    are used. It does nothing where mmrazor is not installed, is imported
    already, or imports by itself (torch 1).

    mmrazor also asserts an mmcv of :data:`MMRAZOR_MMCV` at most. Where mmcv is newer,
    as in the maintained forks, mmrazor is imported here and shown that version.
    """
    if (
        digit_version(torch.__version__) < digit_version('2.0.0')
        or 'mmrazor.models' in sys.modules
        or importlib.util.find_spec('mmrazor') is None
    ):
        return
    for name in MMRAZOR_QUANTIZATION:
        sys.modules.setdefault(name, _Unavailable(name))
    _import_past_mmcv()


def _import_past_mmcv() -> None:
    """Import the module of mmrazor that asserts mmcv's version, where it is newer."""
    if importlib.util.find_spec('mmcv') is None:
        return
    import mmcv

    version = mmcv.__version__
    if digit_version(version) > digit_version(MMRAZOR_MMCV):
        mmcv.__version__ = MMRAZOR_MMCV
        try:
            importlib.import_module('mmrazor')
        finally:
            mmcv.__version__ = version


def is_instance(obj: Any, module: str, name: str) -> bool:
    """``isinstance`` for a class of a package that may not be installed.

    Args:
        obj (object): What to look at.
        module (str): The module that offers the class, e.g. 'mmdet.models'.
        name (str): The class, e.g. 'TwoStageDetector'.

    Returns:
        bool: False also where the module was never imported, since nothing can
        be an instance of its classes then.
    """
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(obj, getattr(loaded, name))


@contextmanager
def alone() -> Iterator[None]:
    """Compute as the only process inside a ``with`` block.

    Upstream's losses take means over all processes. What one of them computes on its
    own account must not wait for the others, which do not know of it.
    """
    is_initialized = torch.distributed.is_initialized
    torch.distributed.is_initialized = lambda: False
    try:
        yield
    finally:
        torch.distributed.is_initialized = is_initialized


def leave_group() -> None:
    """Leave the process group, if there is one."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def setup_cpu_distributed(cfg: Config) -> None:
    """Let mmengine's launcher run on a machine without an accelerator.

    mmengine 0.10 calls ``torch.cuda.set_device`` before it makes the process
    group, and hands DDP a device id. Where there is no GPU this makes the group
    itself, with gloo, and configures a DDP without device ids; a machine with a
    GPU, or a config with its own ``model_wrapper_cfg``, is left alone.

    Args:
        cfg (Config): The run's config, with ``launcher`` set; changed in place.

    Raises:
        ValueError: For a launcher other than 'none' and 'pytorch' without a GPU.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none' or get_device() != 'cpu':
        return
    if launcher != 'pytorch':
        raise ValueError(
            f'--launcher {launcher} needs GPUs and torch sees none; without them use '
            "'pytorch', as tools/dist_train.sh does"
        )
    dist_cfg = cfg.setdefault('env_cfg', {}).setdefault('dist_cfg', {})
    dist_cfg.update(backend='gloo')
    timeout = {}  # seconds, as mmengine has it; torch's own is half an hour
    if dist_cfg.get('timeout') is not None:
        timeout = dict(timeout=timedelta(seconds=dist_cfg.timeout))
    torch.distributed.init_process_group(backend='gloo', **timeout)
    # threads of gloo that still run when Python is gone abort a run that is complete
    atexit.register(leave_group)
    if cfg.get('model_wrapper_cfg') is None:
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
