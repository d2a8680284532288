"""What the benchmarks share: models of a config with random weights, and batches."""

import argparse
import os.path as osp
import tempfile
from typing import Any, Union

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope

from luminet_mm.config import load_model_cfg
from luminet_mm.distillers.zoom import Zoom
from luminet_mm.registry import MODELS


def add_size_option(options: argparse.ArgumentParser, height: int, width: int) -> None:
    """The option of a program that measures images, with its default in pixels."""
    options.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(height, width),
        help=f'height and width in pixels (default: {height} {width})',
    )


def add_batch_options(options: argparse.ArgumentParser) -> None:
    """The options of a program that measures detectors on :func:`random_batch`."""
    options.add_argument('--batch-size', type=int, default=2, help='default: 2')
    add_size_option(options, 480, 640)


def build_model(config: Union[str, Config], device: str, **overrides: Any) -> BaseModel:
    """The model of a config in training mode, as its constructor initialises it.

    Args:
        config (str | Config): A config, or its path.
        device (str): Where it goes.
        **overrides: What to change in the config's ``model``.

    Returns:
        BaseModel: The model; a teacher's weights are random, too.
    """
    cfg = Config.fromfile(config) if isinstance(config, str) else config
    cfg.merge_from_dict(dict(model=overrides))
    init_default_scope(cfg.default_scope)
    model = cfg.model
    if 'data_preprocessor' in cfg:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    with tempfile.TemporaryDirectory() as folder:
        teachers = model.get('teacher', [])
        teachers = teachers if isinstance(teachers, list) else [teachers]
        if teachers:
            model.teacher_ckpt = []
        for index, teacher in enumerate(teachers):
            model.teacher_ckpt.append(osp.join(folder, f'{index}.pth'))
            cfg, _ = Zoom.of(teacher)
            teacher = MODELS.build(load_model_cfg(cfg, 'model.teacher'))
            torch.save(teacher.state_dict(), model.teacher_ckpt[-1])
        torch.manual_seed(0)
        model = MODELS.build(model)
        if teachers:
            model.build_teachers()  # while their weights are there
    return model.to(device).train()


def random_batch(model: BaseModel, size: int, height: int, width: int) -> dict:
    """A batch as a data loader gives it, on the model's device.

    Args:
        model (BaseModel): A classifier or detector, or a distiller of one.
        size (int): Number of images.
        height (int): In pixels.
        width (int): In pixels.

    Returns:
        dict: ``inputs`` and ``data_samples`` of 3 classes, with the index of each image
        or its 8 boxes.
    """
    model = getattr(model, 'student', model)
    device = next(model.parameters()).device
    if not hasattr(model, 'with_bbox'):  # no detector
        from mmpretrain.structures import DataSample

        shape = (size, 3, height, width)
        return dict(
            inputs=torch.randint(256, shape, dtype=torch.uint8, device=device),
            data_samples=[
                DataSample(metainfo=dict(sample_idx=i)).set_gt_label(i % 3)
                for i in range(size)
            ],
        )
    from mmdet.testing import demo_mm_inputs

    shapes = [(3, height, width)] * size
    return demo_mm_inputs(size, shapes, [8] * size, num_classes=3, device=device)


def optimizer(model: BaseModel) -> OptimWrapper:
    """SGD as it trains, with a learning rate that leaves random weights finite."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    sgd = torch.optim.SGD(parameters, lr=1e-4, momentum=0.9, weight_decay=5e-4)
    return OptimWrapper(sgd)
