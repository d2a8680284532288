"""Upstream's loggers, of which none ends a run, waits, or loses a picture."""

import os
from typing import Optional, Type

import numpy as np
from mmengine.config import Config
from mmengine.visualization import vis_backend

from ..never_stop import never_stop
from ..registry import VISBACKENDS

METHODS = ('add_config', 'add_graph', 'add_image', 'add_scalar', 'add_scalars', 'close')
MAX_LENGTH = 250  # of a text that every release of MLflow takes as a parameter


def _guarded(backend: Type) -> Type:
    """Class decorator: what a backend is told may fail; the run goes on without it."""
    for name in METHODS:
        setattr(backend, name, never_stop(getattr(backend, name)))
    return backend


@VISBACKENDS.register_module()
@_guarded
class TensorboardVisBackend(vis_backend.TensorboardVisBackend):
    """mmengine's, which warns once and is silent from then on where it fails."""


@VISBACKENDS.register_module()
@_guarded
class WandbVisBackend(vis_backend.WandbVisBackend):
    """mmengine's, guarded as :class:`TensorboardVisBackend`.

    Weights and Biases counts its calls; here each value has the run's own ``step``
    beside it, epochs or iterations, which is the axis of all plots. The sources in the
    current folder, which may be a large one, are not stored.
    """

    def _init_env(self) -> None:
        super()._init_env()
        self._wandb.define_metric('*', step_metric='step')

    def add_config(self, config: Config, **kwargs) -> None:
        """Store the config."""
        self.experiment.config.update(config.to_dict(), allow_val_change=True)

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Store a picture, RGB of shape (H, W, 3)."""
        wandb = self.experiment
        wandb.log({name: wandb.Image(image), 'step': step}, commit=self._commit)

    def add_scalar(self, name: str, value: float, step: int = 0, **kwargs) -> None:
        """Store a number."""
        self.add_scalars({name: value}, step)

    def add_scalars(
        self,
        scalar_dict: dict,
        step: int = 0,
        file_path: Optional[str] = None,
        **kwargs,
    ) -> None:
        """Store numbers by name; ``file_path`` is another backend's."""
        self.experiment.log({**scalar_dict, 'step': step}, commit=self._commit)

    def close(self) -> None:
        """End the run, which is complete on the disk then."""
        if hasattr(self, '_wandb'):
            self._wandb.finish()


@VISBACKENDS.register_module()
@_guarded
class MLflowVisBackend(vis_backend.MLflowVisBackend):
    """mmengine's, guarded as :class:`TensorboardVisBackend`.

    A picture is an artifact of its own for each step. Parameters are the numbers and
    texts at the config's top level; the whole config is the artifact ``config.py``.
    (mmengine's breaks off at lists of mixed items, gives all pictures one name without
    an ending, and copies the work dir, this store included, into the store.)
    """

    def _init_env(self) -> None:
        # MLflow 3 writes files only for who asks for them
        os.environ.setdefault('MLFLOW_ALLOW_FILE_STORE', 'true')
        super()._init_env()

    def add_config(self, config: Config, **kwargs) -> None:
        """Store the config."""
        self.experiment.log_params(
            {
                key: str(value)[:MAX_LENGTH]
                for key, value in config.items()
                if isinstance(value, (bool, int, float, str))
            }
        )
        self.experiment.log_text(config.pretty_text, 'config.py')

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Store a picture, RGB of shape (H, W, 3)."""
        self.experiment.log_image(image, f'{name}_{step}.png')

    def close(self) -> None:
        """End the run."""
        if hasattr(self, '_mlflow'):
            self._mlflow.end_run()
