"""The plain student for upstream: a config and a checkpoint that need no luminet_mm."""

import torch
from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm

from ..distillers.building import build_model
from .student import Student

SUFFIX = '.pth'
# What testing, inference and deployment read of a config
KEPT = (
    'default_scope',
    'custom_imports',
    'metainfo',
    'dataset_type',
    'data_root',
    'backend_args',
    'test_pipeline',
    'test_dataloader',
    'test_evaluator',
    'test_cfg',
    'tta_model',
    'tta_pipeline',
    'env_cfg',
    'vis_backends',
    'visualizer',
)


def write(student: Student, ckpt: str, config: str) -> None:
    """Write the pair.

    Args:
        student (Student): The student.
        ckpt (str): Where its weights go.
        config (str): Where its config goes, which names no other file.
    """
    cfg = Config({name: student.cfg[name] for name in KEPT if name in student.cfg})
    cfg.model = student.model_cfg
    cfg.dump(config)
    meta = dict(dataset_meta=dict(classes=student.classes)) if student.classes else {}
    torch.save(dict(meta=meta, state_dict=student.model.state_dict()), ckpt)


def read(ckpt: str, config: str) -> BaseModel:
    """Build the model of such a pair, strictly.

    Args:
        ckpt (str): Its checkpoint.
        config (str): Its config.

    Returns:
        BaseModel: The model, in eval mode.
    """
    model, _ = build_model(Config.fromfile(config).model, 'model')
    model.load_state_dict(torch.load(ckpt)['state_dict'])
    return revert_sync_batchnorm(model).eval()
