"""Whether a run's config, and the machine, have what the run needs."""

import logging
import os
from typing import Iterator, Tuple

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log

from .checks import check_arguments, check_names, check_type
from .registry import HOOKS

# What the processes of a launcher find in their environment.
LAUNCHERS = dict(
    pytorch=('RANK', 'tools/dist_train.sh or torchrun'),
    slurm=('SLURM_PROCID', 'tools/slurm_train.sh or srun'),
    mpi=('OMPI_COMM_WORLD_LOCAL_RANK', 'mpirun'),
)
# Dicts of which mmengine would ignore a misspelt key.
LOOSE_KEYS = dict(
    auto_scale_lr=('enable', 'base_batch_size'),
    env_cfg=('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'),
)


def check_run(cfg: Config, mode: str) -> None:
    """Check, before anything is built, what a run could only fail with.

    Args:
        cfg (Config): The run's config, with ``launcher`` and ``work_dir`` set. The work
            dir is made.
        mode (str): 'train' or 'test'.

    Raises:
        ValueError: If a part of the config is missing or has a misspelt key, the work
            dir cannot be written to, or the machine lacks what the run needs.
    """
    more = 'optim_wrapper' if mode == 'train' else 'test_evaluator'
    for key in ('model', f'{mode}_dataloader', f'{mode}_cfg', more):
        if cfg.get(key) is None:
            raise ValueError(f'{cfg.filename} sets no {key}, so there is no {mode}ing')
    check_type('model', cfg.model, dict, 'a dict with `type`')
    if cfg.get('compile') and cfg.model.get('student'):
        print_log(
            'compile is left out: torch.compile cannot look through the hooks by which '
            'a distiller sees predictions. model.compile_teacher=True compiles the '
            "teacher's backbone and neck",
            logger='current',
            level=logging.WARNING,
        )
        cfg.compile = False
    for key, known in LOOSE_KEYS.items():
        check_names(key, cfg.get(key) or {}, known)
    for key, hook in _hooks(cfg):
        scope = hook.get('_scope_', cfg.get('default_scope'))
        with HOOKS.switch_scope_and_registry(scope) as registry:
            cls = registry.get(hook['type'])
        if cls is not None:
            check_arguments(key, cls, hook, ('priority', '_scope_'))
    try:
        os.makedirs(cfg.work_dir, exist_ok=True)
    except OSError as error:
        raise ValueError(f'work_dir={cfg.work_dir!r} cannot be made: {error}') from None
    if not os.access(cfg.work_dir, os.W_OK):
        raise ValueError(f'work_dir={cfg.work_dir!r} cannot be written to')
    wrapper = (cfg.get('optim_wrapper') or {}).get('type', '')
    on_cpu = get_device() == 'cpu'
    if mode == 'train' and on_cpu and 'AmpOptimWrapper' in str(wrapper):
        raise ValueError(
            '--amp, or optim_wrapper.type=AmpOptimWrapper, needs a GPU, and torch sees '
            'none'
        )
    variable, starter = LAUNCHERS.get(cfg.get('launcher'), ('PATH', ''))
    if variable not in os.environ:
        raise ValueError(
            f'--launcher {cfg.launcher}: the environment has no {variable}; start the '
            f'processes with {starter}'
        )
    count, gpus = int(os.environ.get('LOCAL_WORLD_SIZE', 1)), torch.cuda.device_count()
    if cfg.get('launcher') == 'pytorch' and not on_cpu and count > gpus:
        raise ValueError(f'{count} processes on this machine, and only {gpus} GPUs')


def _hooks(cfg: Config) -> Iterator[Tuple[str, dict]]:
    """Key and config of each hook that a run's config sets with its type."""
    named = cfg.get('default_hooks') or {}
    hooks = [(f'default_hooks.{name}', hook) for name, hook in named.items()]
    others = enumerate(cfg.get('custom_hooks') or ())
    hooks += [(f'custom_hooks[{index}]', hook) for index, hook in others]
    for key, hook in hooks:
        if isinstance(hook, dict) and isinstance(hook.get('type'), str):
            yield f'{key} ({hook["type"]})', hook
