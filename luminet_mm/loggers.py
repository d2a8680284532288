"""``--logger``: where a run is logged beside the files of its work dir."""

import os
import os.path as osp
from importlib import import_module

from mmengine.config import Config

from .checks import check_choice

# Option: the backend's class, the module that it needs, and what brings that. (All of
# MLflow brings pandas and its like, and moves packages of the stack.)
LOGGERS = dict(
    tensorboard=('TensorboardVisBackend', 'torch.utils.tensorboard', 'tensorboard'),
    wandb=('WandbVisBackend', 'wandb', 'wandb'),
    mlflow=('MLflowVisBackend', 'mlflow', 'mlflow-skinny'),
)
# What a distillation has to show there.
HOOKS = ('TeacherShareHook', 'DistillVisualizationHook')


def log_to(cfg: Config, name: str) -> None:
    """Log a run to TensorBoard, Weights and Biases or MLflow, too.

    All of it stays in the work dir: events beside mmengine's own files, the offline
    run of Weights and Biases there as well (``wandb sync`` sends it), MLflow's files in
    ``mlruns``. Only who sets ``WANDB_MODE`` or ``MLFLOW_TRACKING_URI`` has it sent. A
    backend of that kind, and hooks, that the config has already stay as they are.

    Args:
        cfg (Config): The run's config, with ``work_dir`` set; changed in place. A
            distillation also gets the hooks of :data:`HOOKS`.
        name (str): 'tensorboard', 'wandb' or 'mlflow'.

    Raises:
        ValueError: For another name, or if the package cannot be imported.
    """
    check_choice('--logger', name, LOGGERS)
    kind, module, package = LOGGERS[name]
    try:
        import_module(module)
    except Exception as error:  # one that is broken raises whatever its parts do
        raise ValueError(
            f'--logger {name}: {module} cannot be imported ({type(error).__name__}: '
            f'{error}); pip install {package}'
        ) from error
    backend = dict(type=f'luminet_mm.{kind}')
    run = osp.basename(osp.abspath(cfg.work_dir))
    if name == 'wandb':
        mode = os.environ.get('WANDB_MODE', 'offline')
        # the console is upstream's log file already
        settings = dict(console='off', silent=True)
        backend['init_kwargs'] = dict(mode=mode, name=run, settings=settings)
    elif name == 'mlflow':
        backend['save_dir'] = osp.join(osp.abspath(cfg.work_dir), 'mlruns')
        backend['exp_name'] = run
        backend['tracking_uri'] = os.environ.get('MLFLOW_TRACKING_URI')
    if cfg.get('visualizer') is None:  # mmengine's default
        local = dict(type='LocalVisBackend')
        cfg.visualizer = dict(type='Visualizer', vis_backends=[local])
    backends = cfg.visualizer.get('vis_backends') or []
    backends = [backends] if isinstance(backends, dict) else list(backends)
    if kind not in map(_class_of, backends):
        cfg.visualizer.vis_backends = [*backends, backend]
    if _class_of(cfg.model) == 'LogitDistiller':
        hooks = list(cfg.get('custom_hooks') or [])
        there = set(map(_class_of, hooks))
        added = [dict(type=f'luminet_mm.{each}') for each in HOOKS if each not in there]
        cfg.custom_hooks = [*hooks, *added]


def _class_of(part: dict) -> str:
    """Name of the class that a part of a config builds, without its scope."""
    kind = part.get('type', '')
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]
