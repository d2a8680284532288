"""Convert a published checkpoint of the CIFAR distillation benchmark (mdistiller,
RepDistiller) to mmpretrain's form, complete or not at all."""

import argparse
import os
import os.path as osp
import re
from typing import Callable, Dict, List, Tuple, Union

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS
from torch import Tensor

from luminet_mm.checkpoints import read_checkpoint
from luminet_mm.config import load_cfg
from luminet_mm.registry import MODELS

Rules = List[Tuple[str, Union[str, Callable[[re.Match], str]]]]

CONV_BN = ('conv', 'bn')
# How a family's published names become ours: regular expressions and what replaces
# them, one after the other. The head, and `backbone.` before all else, are common.
RULES: Dict[str, Rules] = {
    'CIFARResNet': [],
    'ResNet_CIFAR': [('shortcut', 'downsample')],
    'WideResNet': [
        (r'^bn1', 'layer4.0'),
        (r'^block(\d)\.layer', r'layer\1'),
        (r'\.bn', '.norm'),
        ('convShortcut', 'downsample'),
    ],
    # stages count from 0 there, and ours begin with their pooling
    'CIFARVGG': [
        (r'^block(\d)\.(\d+)', lambda m: f'layer{int(m[1]) + 1}.{int(m[2]) + 1}'),
    ],
    # a chain of convolution, BN, ReLU, convolution, ... is three ConvModules here
    'CIFARMobileNetV2': [
        (
            r'\.conv\.(\d)',
            lambda m: f'.conv.{int(m[1]) // 3}.{CONV_BN[int(m[1]) % 3]}',
        ),
        (r'^conv(\d)\.(\d)', lambda m: f'conv{m[1]}.{CONV_BN[int(m[2])]}'),
        (r'^conv2', 'layer8'),
        (r'^blocks\.(\d)', lambda m: f'layer{int(m[1]) + 1}'),
    ],
    'CIFARShuffleNetV1': [(r'(conv|bn)(\d)', r'conv\2.\1')],
    # the first unit of a stage has two convolutions on one branch, three on the other
    'CIFARShuffleNetV2': [
        (r'^(conv|bn)1', r'conv1.\1'),
        (r'^(conv|bn)2', r'layer4.\1'),
        (r'\.0\.(conv|bn)([12])', lambda m: f'.0.branch1.{int(m[2]) - 1}.{m[1]}'),
        (r'\.0\.(conv|bn)(\d)', lambda m: f'.0.branch2.{int(m[2]) - 3}.{m[1]}'),
        (r'\.(conv|bn)(\d)', lambda m: f'.branch2.{int(m[2]) - 1}.{m[1]}'),
    ],
}


def rename(name: str, rules: Rules) -> str:
    """Name a published tensor as mmpretrain's ``ImageClassifier`` does."""
    name, is_head = re.subn(r'^(fc|linear|classifier(\.0)?)\.', 'head.fc.', name)
    if is_head:
        return name
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return f'backbone.{name}'


def convert_state_dict(
    published: Dict[str, Tensor], wanted: Dict[str, Tensor], rules: Rules
) -> Dict[str, Tensor]:
    """Rename tensors, so that each is used once and none is missing.

    Args:
        published (dict[str, Tensor]): What the checkpoint holds as ``model``.
        wanted (dict[str, Tensor]): State dict of the model that is to load it.
        rules (Rules): Those of the model's family.

    Returns:
        dict[str, Tensor]: With the names of ``wanted``.

    Raises:
        ValueError: If a tensor is missing, has no place or another shape.
    """
    converted, unexpected = {}, []
    for old, tensor in published.items():
        new = rename(old, rules)
        if new in wanted and new not in converted:
            converted[new] = tensor
        else:
            unexpected.append(old)
    # PyTorch before 0.4.1, which RepDistiller was written for, did not count batches.
    # Like torch itself, let the count start at 0: BN with a momentum never reads it.
    counts = [name for name in wanted if name.endswith('.num_batches_tracked')]
    if not any(name in converted for name in counts):
        converted.update((name, torch.tensor(0)) for name in counts)
    problems = {
        'missing': [name for name in wanted if name not in converted],
        'unexpected': unexpected,
        'of another shape': [
            f'{name} {tuple(tensor.shape)} instead of {tuple(wanted[name].shape)}'
            for name, tensor in converted.items()
            if tensor.shape != wanted[name].shape
        ],
    }
    if any(problems.values()):
        raise ValueError(
            'the checkpoint is not of this config: '
            + '; '.join(
                f'{len(names)} tensors {problem}: {", ".join(names[:10])}'
                + ', ...' * (len(names) > 10)
                for problem, names in problems.items()
                if names
            )
        )
    return converted


def read_weights(path: str) -> Dict[str, Tensor]:
    """Read the weights of a checkpoint of the benchmark.

    Raises:
        ValueError: If it cannot be read or has no ``model``.
    """
    checkpoint = read_checkpoint(path, 'checkpoint')
    model = checkpoint.get('model')
    if not isinstance(model, dict):
        raise ValueError(
            f'checkpoint={path!r} is not of the published form, dict(model=weights, '
            f'...): it holds {list(checkpoint)[:5]!r}'
        )
    for name, value in model.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f'checkpoint={path!r}: model.{name}={value!r} is no tensor'
            )
    return model


def dataset_classes(cfg: Config) -> Dict:
    """Class names of the config's training data, if its data set has fixed ones.

    Returns:
        dict: dict(classes=...), or an empty one.
    """
    dataset = cfg.get('train_dataloader', {}).get('dataset', {})
    while 'dataset' in dataset:  # what wraps a data set has it under this name
        dataset = dataset.dataset
    return getattr(DATASETS.get(dataset.get('type', '')), 'METAINFO', {})


def convert(config: str, checkpoint: str, out: str) -> None:
    """Convert a file.

    Args:
        config (str): Config of the model, e.g. 'configs/cifar100/resnet56.py'.
        checkpoint (str): Path or URL of the published checkpoint.
        out (str): File to write: dict(meta=..., state_dict=...). ``meta`` names the
            classes of the config's data set, which a distillation run compares with
            its own.

    Raises:
        ValueError: If ``out`` exists, the model is of no known family, or the
            checkpoint does not fit it completely. Nothing is written then.
    """
    if osp.lexists(out):
        raise ValueError(f'out={out!r} exists already and is not overwritten')
    cfg = load_cfg(config, 'config')
    init_default_scope('mmpretrain')
    family = cfg.get('model', {}).get('backbone', {}).get('type', '').split('.')[-1]
    if family not in RULES:
        raise ValueError(
            f'config={config!r}: model.backbone.type is {family!r}, of which the '
            f'benchmark has published nothing; it has {list(RULES)}'
        )
    state_dict = convert_state_dict(
        read_weights(checkpoint),
        MODELS.build(cfg.model).state_dict(),
        RULES[family],
    )
    os.makedirs(osp.dirname(osp.abspath(out)), exist_ok=True)
    meta = dict(dataset_meta=dataset_classes(cfg))
    # a run that is cut off leaves no half file as `out`
    part = f'{out}.{os.getpid()}.part'
    try:
        torch.save(dict(meta=meta, state_dict=state_dict), part)
        os.rename(part, out)
    finally:
        if osp.exists(part):
            os.remove(part)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='e.g. configs/cifar100/resnet56.py')
    parser.add_argument(
        'checkpoint', help='e.g. resnet56_vanilla/ckpt_epoch_240.pth, or a URL'
    )
    parser.add_argument('out', help='file to write')
    return parser.parse_args()


if __name__ == '__main__':
    convert(**vars(parse_args()))
