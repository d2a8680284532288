"""Which weights a teacher takes, and what it says of those that it does not."""

import collections
import os

import pytest
import torch
from test_checkpoints import Calls
from tiny import build, classifier, save_weights

from luminet_mm.distillers.teacher import Teacher


def teacher(ckpt, cfg=None):
    cfg = cfg or classifier()
    return Teacher(cfg, str(ckpt), build(cfg).data_preprocessor)


def weights(cfg=None, seed=0):
    return build(cfg or classifier(), seed).state_dict()


def spoilt(name, value):
    state_dict = weights()
    state_dict[name] = value(state_dict[name])
    return dict(state_dict=state_dict)


def prefixed(prefix):
    return {prefix + name: value for name, value in weights().items()}


def first(value):
    """One value of a tensor, replaced."""

    def change(tensor):
        tensor.view(-1)[3] = value
        return tensor

    return change


CONV, MEAN = 'backbone.conv1.weight', 'backbone.bn1.running_mean'
REFUSED = {
    'nan': (spoilt(CONV, first(float('nan'))), f'nan or inf .*: {CONV}$'),
    'inf': (spoilt(MEAN, first(float('inf'))), f'nan or inf .*: {MEAN}$'),
    'int': (
        spoilt(CONV, torch.Tensor.int),
        f'{CONV} is torch.int32, where the model has torch.float32',
    ),
    'list': (
        spoilt(CONV, torch.Tensor.tolist),
        f'{CONV} is list, where the model has torch.float32',
    ),
    'shape': (spoilt(CONV, lambda w: w[:4]), f'size mismatch for {CONV}'),
    'missing': (
        dict(state_dict={k: v for k, v in weights().items() if k != CONV}),
        f'missing keys in the checkpoint: {CONV}$',
    ),
    'unexpected': (
        dict(state_dict={**weights(), 'other': torch.ones(1)}),
        'unexpected keys in the checkpoint: other$',
    ),
    'no dict': (dict(state_dict=[1]), 'Its state_dict is a list, not a dict'),
    'razor': (
        dict(state_dict=prefixed('architecture.')),
        "mmrazor algorithm, .* begin with 'architecture.': take these",
    ),
    'ema of mmengine': (
        {**prefixed('module.'), 'steps': torch.tensor(3)},
        'weights averaged by EMA: take the state_dict',
    ),
    'ema of mmcv': (
        dict(state_dict={**weights(), 'ema_backbone_conv1_weight': torch.ones(1)}),
        'weights averaged by EMA: take the state_dict',
    ),
    'ema alone': (
        dict(ema_state_dict=prefixed('module.'), meta={}),
        'weights averaged by EMA: take the state_dict',
    ),
    'of another library': (
        dict(model=weights(), model_ema=weights()),
        "has no state_dict, but weights as 'model' and 'model_ema'",
    ),
}


@pytest.mark.parametrize('kind', REFUSED)
def test_refused_by_name(kind, tmp_path):
    checkpoint, message = REFUSED[kind]
    path = str(tmp_path / 'teacher.pth')
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=message) as refused:
        teacher(path)
    start = f"model.teacher_ckpt={path!r} does not fit model.teacher='ImageClassifier'"
    assert str(refused.value).startswith(start)


def test_taken(tmp_path):
    """Bare weights, those of DDP, half precision, and of a student of features."""
    path = tmp_path / 'teacher.pth'
    expected = weights()
    for checkpoint in (
        expected,
        dict(state_dict=prefixed('module.')),
        dict(state_dict={name: value.double() for name, value in expected.items()}),
        dict(
            state_dict={**expected, 'distill_losses.loss_x.embed.weight': torch.ones(1)}
        ),
        # PyTorch before 0.4.1 did not count batches
        dict(state_dict={k: v for k, v in expected.items() if 'num_batch' not in k}),
    ):
        torch.save(checkpoint, path)
        found = teacher(path).model.state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


SWIN = dict(
    type='ImageClassifier',
    _scope_='mmpretrain',
    data_preprocessor=dict(mean=[0.0] * 3, std=[1.0] * 3, num_classes=5),
    backbone=dict(
        type='SwinTransformerV2',
        arch=dict(
            embed_dims=8,
            depths=[1, 1],
            num_heads=[1, 2],
            extra_norm_every_n_blocks=0,
        ),
        img_size=32,
        patch_size=4,
        window_size=4,
        out_indices=(1,),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=16),
)


def test_what_a_model_makes_anew_is_not_missing(tmp_path):
    """Swin V2 drops tables from what it loads, and has them already."""
    path = save_weights(SWIN, tmp_path / 'swin.pth', seed=3)
    expected = torch.load(path)['state_dict']
    assert any('relative_coords_table' in name for name in expected)
    found = teacher(path, SWIN).model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)

    del expected['head.fc.bias']
    torch.save(expected, path)
    with pytest.raises(ValueError, match='missing keys in the checkpoint: head.fc'):
        teacher(path, SWIN)


def test_evil_teacher_is_not_run(tmp_path):
    evil = Calls(os.mkdir, str(tmp_path / 'done'))
    meta = dict(CLASSES=evil, dataset_meta=evil)
    torch.save(dict(state_dict=weights(), meta=meta), tmp_path / 'teacher.pth')
    assert teacher(tmp_path / 'teacher.pth').classes is None
    state_dict = collections.OrderedDict({**weights(), CONV: evil})
    torch.save(dict(state_dict=state_dict), tmp_path / 'teacher.pth')
    with pytest.raises(ValueError, match=f'{CONV} is posix.mkdir, where the model has'):
        teacher(tmp_path / 'teacher.pth')
    assert not (tmp_path / 'done').exists()
