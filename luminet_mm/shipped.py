"""The configs that come with this package, of a wheel or of a checkout."""

import os.path as osp
from glob import glob
from typing import Dict, List

from mmengine.config import Config

CONFIGS = osp.join(osp.dirname(osp.abspath(__file__)), '.mim', 'configs')
# Task: the file that has its methods, each a dict of what it sets of `model`.
METHODS = {
    'classification': '_base_/cifar_methods.py',
    'ImageNet': '_base_/imagenet_methods.py',
    'two-stage detection': '_base_/detection_methods.py',
    'dense detection': '_base_/dense_methods.py',
}


def shipped_configs() -> List[str]:
    """Names of all configs that are to be run, as ``_base_`` and tools take them.

    Returns:
        list[str]: Such as 'luminet_mm::coco/frcnn_r18.py'.
    """
    paths = glob(osp.join(CONFIGS, '**', '*.py'), recursive=True)
    names = (osp.relpath(path, CONFIGS).replace(osp.sep, '/') for path in paths)
    parts = ('_base_', 'pairs')  # that others inherit from
    return sorted(
        f'luminet_mm::{name}' for name in names if not {*parts} & {*name.split('/')}
    )


def shipped_methods(task: str) -> Dict[str, dict]:
    """Read the methods of a task.

    Args:
        task (str): A key of :data:`METHODS`.

    Returns:
        dict[str, dict]: By the method's name, what it sets of ``model``.
    """
    cfg = Config.fromfile(osp.join(CONFIGS, METHODS[task]))
    return {name: method for name, method in cfg.items() if isinstance(method, dict)}
