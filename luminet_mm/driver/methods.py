"""What a method's name stands for: settings of a distiller, as `configs/_base_` has."""

import os.path as osp
from typing import Dict, List

from mmengine.config import Config, ConfigDict

from ..checks import nearest
from ..config import innermost_dataset
from ..files import MIM

CONFIGS = osp.join(MIM, 'configs')
# Task: file of all its methods
FILES = dict(
    two_stage='detection_methods.py',
    dense='dense_methods.py',
    small_images='cifar_methods.py',
    images='imagenet_methods.py',
)
# What takes another distiller, or another pipeline, than a pair of models
NOT_ALONE = ('dml', 'mlkd_two_views')
SMALL = 64  # pixels of an image, up to which the settings of CIFAR-100 hold
# What the documentation recommends for a task
DEFAULT = dict(
    two_stage='luminet_box_rpn',
    dense='luminet',
    small_images='luminet',
    images='luminet',
)


def task_of(cfg: Config) -> str:
    """The task of a plain model, one of :data:`FILES`.

    Args:
        cfg (Config): Its run.
    """
    if 'head' not in cfg.model:
        return 'two_stage' if 'roi_head' in cfg.model else 'dense'
    return 'small_images' if _image_size(cfg) <= SMALL else 'images'


def methods_of(task: str) -> Dict[str, ConfigDict]:
    """All methods of a task, each a dict of what it sets of ``model``."""
    cfg = Config.fromfile(osp.join(CONFIGS, '_base_', FILES[task]))
    methods = {name: cfg[name] for name in cfg if name not in NOT_ALONE}
    if task == 'dense':
        del methods['luminet_box_rpn']
    for name, method in methods.items():
        if name.startswith('luminet_'):  # it is what joins LumiNet
            methods[name] = join([methods['luminet'], method])
    return methods


def load_method(names: str, task: str, key: str = '--method') -> ConfigDict:
    """The settings of a method, or of several at once.

    Args:
        names (str): Such as 'luminet', or 'luminet+pkd' for the losses of both; what
            both set otherwise is the first one's.
        task (str): Of the pair, see :func:`task_of`.
        key (str): What named them, for the error.

    Returns:
        ConfigDict: What is set of ``model``: losses, warm-up, weights of the student's
        own losses.

    Raises:
        ValueError: If the task has no such method.
    """
    known = methods_of(task)
    chosen: List[ConfigDict] = []
    for name in names.split('+'):
        if name not in known:
            raise ValueError(
                f'{key} {name}: no such method for these models'
                f'{nearest(name, known)}; there are {", ".join(sorted(known))}, and '
                'some at once as luminet+pkd'
            )
        chosen.append(known[name])
    return join(chosen)


def join(methods: List[ConfigDict]) -> ConfigDict:
    """One dict of several, of which the first decides where they differ."""
    joined = Config(dict())
    for method in reversed(methods):
        joined.merge_from_dict(
            method.to_dict() if hasattr(method, 'to_dict') else method
        )
    return joined._cfg_dict


def _image_size(cfg: Config) -> int:
    """Pixels along an edge of a training image; small where the pipeline has no size,
    as that of the CIFAR configs."""
    dataset = innermost_dataset(cfg.train_dataloader.dataset)
    sizes = []
    for step in dataset.get('pipeline', ()):
        for key in ('scale', 'crop_size', 'size'):
            size = step.get(key)
            sizes += [max(size)] if isinstance(size, (list, tuple)) else [size or 0]
    return max(sizes or [SMALL])
