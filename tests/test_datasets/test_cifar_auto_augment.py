"""AutoAugment's CIFAR policy, and the data of the configs of Table 5."""

import glob
import os.path as osp

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from PIL import Image
from test_tools import ROOT
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from luminet_mm.registry import MODELS, TRANSFORMS

CONFIGS = sorted(glob.glob(f'{ROOT}/configs/cifar100/*_aa.py'))
IMAGE = np.random.RandomState(0).randint(0, 256, (32, 32, 3), dtype=np.uint8)


def test_is_torchvisions_policy_for_cifar():
    ours = TRANSFORMS.build(dict(type='luminet_mm.CIFARAutoAugment'))
    torchvisions = AutoAugment(AutoAugmentPolicy.CIFAR10)
    changed = 0
    for seed in range(50):
        torch.manual_seed(seed)
        got = ours(dict(img=IMAGE.copy()))['img']
        torch.manual_seed(seed)
        expected = np.asarray(torchvisions(Image.fromarray(IMAGE)))
        assert got.dtype == np.uint8
        assert np.array_equal(got, expected)
        changed += not np.array_equal(got, IMAGE)
    assert changed > 25


@pytest.mark.parametrize('path', CONFIGS, ids=osp.basename)
def test_each_step_happens_once(path):
    """Crop and flip are the pipeline's; the preprocessor does neither."""
    cfg = Config.fromfile(path)
    init_default_scope('mmpretrain')
    dataset = cfg.train_dataloader.dataset
    assert dataset.type == 'CIFAR100'
    assert [transform.type for transform in dataset.pipeline] == [
        'RandomCrop',
        'RandomFlip',
        'luminet_mm.CIFARAutoAugment',
        'PackInputs',
    ]
    packed = Compose(dataset.pipeline)(dict(img=IMAGE.copy(), gt_label=3))
    assert packed['inputs'].shape == (3, 32, 32)
    preprocessor = MODELS.build(cfg.data_preprocessor)
    images = torch.stack([packed['inputs']] * 32)
    for training in (True, False):
        batch = preprocessor(dict(inputs=images), training=training)
        assert torch.equal(
            batch['inputs'], (images - preprocessor.mean) / preprocessor.std
        )
    assert cfg.train_dataloader.batch_size == 64


def test_table_5_is_complete():
    names = {osp.basename(path) for path in CONFIGS}
    pairs = (
        'wrn_40_2_wrn_16_2',
        'wrn_40_2_wrn_40_1',
        'vgg13_vgg8',
        'resnet32x4_shufflenetv2',
        'wrn_40_2_shufflenetv1',
    )
    assert names == {f'{p}_{m}_aa.py' for p in pairs for m in ('luminet', 'mlkd')}
