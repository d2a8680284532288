"""What can be known of a distillation before anything is trained."""

import copy
import io
import logging
import os.path as osp
import shutil
import tempfile
from contextlib import contextmanager, redirect_stdout
from typing import Dict, Iterator, Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from ..config import load_cfg
from ..distillers.building import build_model
from ..distillers.zoom import Zoom
from ..registry import DATASETS, MODELS
from .data import Data, datasets, num_shown


def check_kinds(cfgs: Dict[str, Config], names: Dict[str, str]) -> None:
    """Check that both models are classifiers, or both detectors.

    Args:
        cfgs (dict[str, Config]): Of 'teacher' and 'student', each its own training's.
        names (dict[str, str]): What the user calls them.

    Raises:
        ValueError: If they are not.
    """
    kinds = {
        role: 'classifier' if 'head' in cfg.model else 'detector'
        for role, cfg in cfgs.items()
    }
    if kinds['teacher'] != kinds['student']:
        raise ValueError(
            f'{names["teacher"]} is a {kinds["teacher"]} and {names["student"]} a '
            f'{kinds["student"]}; name two of one kind'
        )


def zoo_classes(name: str) -> Sequence[str]:
    """The classes that a zoo's weights were trained on."""
    cfg = load_cfg(name, 'teacher')
    _, _, inner = next(datasets(cfg))
    classes = (inner.get('metainfo') or {}).get('classes')
    if classes is None:
        with DATASETS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
            classes = registry.get(inner.type).METAINFO.get('classes')
    return classes or ()


def num_images(cfg: Config, name: str, data: Optional[Data]) -> int:
    """Count the images of a run's training set.

    Args:
        cfg (Config): The run's config; its data set is built if it is none of a user's.
        name (str): What the user calls it.
        data (Data, optional): The user's data.

    Raises:
        ValueError: If the data of the config cannot be read.
    """
    if data is not None:
        return num_shown(cfg, data)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    try:
        with quiet():
            return len(DATASETS.build(cfg.train_dataloader.dataset))
    except Exception as error:  # whatever a data set says of missing files
        raise ValueError(
            f'{name}: its training data cannot be read: {type(error).__name__}: {error}'
        ) from error


def check_models(cfg: Config, ckpt: Optional[str]) -> int:
    """Build the models of a distillation, to see whether one can teach the other.

    Args:
        cfg (Config): The whole config.
        ckpt (str, optional): The teacher's weights, if there are any yet.

    Returns:
        int: Bytes that the checkpoints of one training take, about.

    Raises:
        ValueError: If the models do not fit each other, or the weights not the teacher.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = copy.deepcopy(cfg.model)
    if cfg.get('data_preprocessor'):
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    with quiet(), tempfile.TemporaryDirectory() as folder:
        if not ckpt:
            pixels = model.get('data_preprocessor')
            plain, _ = Zoom.of(model.teacher)
            teacher, _ = build_model(plain, 'model.teacher', pixels)
            model.teacher_ckpt = osp.join(folder, 'teacher.pth')
            # what is initialised in training alone may be any number until then
            weights = {
                name: value.nan_to_num(posinf=0, neginf=0)
                if value.is_floating_point()
                else value
                for name, value in teacher.state_dict().items()
            }
            torch.save(dict(state_dict=weights), model.teacher_ckpt)
        distiller = MODELS.build(model)
        (teacher,) = distiller.build_teachers()
    larger = max(distiller.student, teacher.model, key=_num_bytes)
    # weights and two moments of an optimizer; two are kept while one is written
    return 3 * 3 * _num_bytes(larger)


def _num_bytes(model: torch.nn.Module) -> int:
    return sum(w.numel() * w.element_size() for w in model.state_dict().values())


def check_space(work_dir: str, need: int) -> None:
    """Check that there is space on the disk.

    Args:
        work_dir (str): A folder that may not be there yet.
        need (int): Bytes.

    Raises:
        ValueError: If there is less.
    """
    parent = osp.abspath(work_dir)
    while not osp.isdir(parent):
        parent = osp.dirname(parent)
    free = shutil.disk_usage(parent).free
    if free < need:
        raise ValueError(
            f'--work-dir {work_dir}: {free / 1e6:.0f} MB are free there, and the '
            f'checkpoints take about {need / 1e6:.0f} MB'
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep upstream's notes from the console."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
