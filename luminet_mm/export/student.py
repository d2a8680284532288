"""The plain student that a checkpoint holds, whole and ready to run."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import init_default_scope

from ..cfg_options import load_run_cfg
from ..checkpoints import check_fits, classes_of, read_checkpoint
from ..config import innermost_dataset, load_inline_cfg, load_model_cfg
from ..distillers.building import build_model

EMA = 'ema_state_dict'  # where mmengine's EMAHook keeps what it did not average


@dataclass
class Student:
    """A student and where it comes from.

    Attributes:
        config (str): Its config file, or that of its distillation.
        ckpt (str): Its checkpoint.
        cfg (Config): The run's config.
        model_cfg (ConfigDict): The plain model's, with its preprocessor.
        model (BaseModel): The model in eval mode, with its weights.
        checkpoint (dict): What the file holds.
        is_averaged (bool, optional): Whether the weights are the run's average by EMA;
            None where it kept none.
    """

    config: str
    ckpt: str
    cfg: Config
    model_cfg: ConfigDict
    model: BaseModel
    checkpoint: dict
    is_averaged: Optional[bool]

    @property
    def classes(self) -> Optional[List[str]]:
        """Names of the classes, as the checkpoint or else the config has them."""
        names = classes_of(self.checkpoint)
        for name in ('train_dataloader', 'test_dataloader'):
            names = names or self.dataset(name).get('metainfo', {}).get('classes')
        return list(names) if isinstance(names, (list, tuple)) else None

    def dataset(self, dataloader: str) -> dict:
        """Config of a data loader's data set, inside of what wraps it, or ``{}``."""
        return innermost_dataset((self.cfg.get(dataloader) or {}).get('dataset') or {})

    @property
    def pipeline(self) -> Optional[List[dict]]:
        """The transforms of testing, or None if the config has none."""
        return self.dataset('test_dataloader').get(
            'pipeline', self.cfg.get('test_pipeline')
        )


def load_student(
    config: str,
    ckpt: str,
    cfg_options: Optional[Dict[str, Any]] = None,
    without_ema: bool = False,
) -> Student:
    """Build the plain student of a run and load its weights.

    Args:
        config (str): The student's config, or that of its distillation.
        ckpt (str): Its checkpoint.
        cfg_options (dict, optional): Settings to override. Defaults to None.
        without_ema (bool): Whether to take, where the run averaged weights, those that
            were trained. Defaults to False: a run validates and publishes the average.

    Returns:
        Student: The student.

    Raises:
        ValueError: If one of the files cannot be read, they do not fit each other, or
            weights are not finite.
    """
    cfg = load_run_cfg(config, cfg_options)
    if not isinstance(cfg.get('model'), dict):
        raise ValueError(f'{config} sets no model, so there is nothing to export')
    checkpoint = read_checkpoint(ckpt, 'checkpoint')
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    key, model_cfg = _plain_model(cfg)
    try:
        model, _ = build_model(model_cfg, key)
    except (KeyError, TypeError) as error:
        raise ValueError(f'{config}: {error}') from error
    kept_average = bool(checkpoint.get(EMA))
    weights = _trained(checkpoint, ckpt) if without_ema else checkpoint
    check_fits(model, weights, ckpt, config)
    model = revert_sync_batchnorm(model).eval().requires_grad_(False)
    for name, value in model.named_parameters():
        if not value.isfinite().all():
            raise ValueError(f'{ckpt}: {name} holds nan or inf, nothing to export')
    is_averaged = not without_ema if kept_average else None
    return Student(config, ckpt, cfg, model_cfg, model, checkpoint, is_averaged)


def _plain_model(cfg: Config) -> Tuple[str, ConfigDict]:
    """Config key and config of the student, as its run prepares its pixels."""
    is_distilled = bool(cfg.model.get('student'))
    preprocessor = cfg.get('data_preprocessor')
    if is_distilled:
        key = 'model.student'
        preprocessor = cfg.model.get('data_preprocessor') or preprocessor
        model = load_inline_cfg(cfg, cfg.model.student, key)
    else:
        key = 'model'
        model = load_model_cfg(cfg.model, key)
    if preprocessor and (is_distilled or not model.get('data_preprocessor')):
        model.data_preprocessor = preprocessor
    return key, model


def _trained(checkpoint: dict, ckpt: str) -> dict:
    """The weights that were trained, which EMAHook has put in its average's place."""
    if not checkpoint.get(EMA):
        raise ValueError(
            f'--without-ema: {ckpt} has no {EMA}, so its run averaged nothing; leave '
            'the option out'
        )
    weights = OrderedDict(
        (name[len('module.') :], value)
        for name, value in checkpoint[EMA].items()
        if name.startswith('module.')
    )
    # the version of each module, by which it knows old names
    weights._metadata = getattr(checkpoint['state_dict'], '_metadata', OrderedDict())
    return dict(state_dict=weights)
