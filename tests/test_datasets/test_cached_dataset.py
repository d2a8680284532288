"""The cache against the data set that it holds, and the configs made of it."""

import hashlib
import os.path as osp
import pickle

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import ConcatDataset
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.datasets import CIFAR100, CustomDataset
from mmpretrain.models import ClsDataPreprocessor
from tiny import (
    classification_run,
    classifier,
    distilled,
    image_folder,
    load_checkpoint,
    save_weights,
)

from luminet_mm.cfg_options import load_run_cfg
from luminet_mm.datasets import CachedDataset
from luminet_mm.registry import DATASETS, MODELS

BASES = osp.join(osp.dirname(__file__), '..', '..', 'configs', '_base_')
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


@pytest.fixture
def folder(tmp_path):
    """16 images in five classes."""
    init_default_scope('mmpretrain')
    return image_folder(tmp_path)


def custom(folder, pipeline=PIPELINE, **kwargs):
    return dict(
        type='CustomDataset', data_prefix=folder, pipeline=list(pipeline), **kwargs
    )


def cached(dataset):
    return DATASETS.build(dict(type='luminet_mm.CachedDataset', dataset=dataset))


def loader(dataset, **kwargs):
    cfg = dict(
        batch_size=4,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='luminet_mm.CachedDataset', dataset=dataset),
    )
    return Runner.build_dataloader({**cfg, **kwargs}, seed=0)


def fields(sample):
    return {**sample.to_dict(), **sample.metainfo}


def assert_same_items(ours, expected):
    assert len(ours) == len(expected)
    for index in range(len(expected)):
        one, other = ours[index], expected[index]
        assert one.keys() == other.keys()
        assert torch.equal(one['inputs'], other['inputs'])
        assert one['inputs'].dtype == other['inputs'].dtype == torch.uint8
        assert type(one['data_samples']) is type(other['data_samples'])
        assert one['data_samples'].metainfo == other['data_samples'].metainfo
        assert set(one['data_samples'].keys()) == set(other['data_samples'].keys())
        assert fields(one['data_samples']) == fields(other['data_samples'])


@pytest.mark.parametrize(
    'transforms',
    [[], [dict(type='Resize', scale=(20, 12))], [dict(type='CenterCrop', crop_size=8)]],
)
def test_gives_what_it_holds(transforms, folder):
    dataset = custom(folder, [PIPELINE[0], *transforms, PIPELINE[1]])
    expected = DATASETS.build(dataset)
    ours = cached(dataset)
    assert_same_items(ours, expected)
    assert_same_items(ours, expected)  # and gives it again
    assert ours.metainfo == expected.metainfo
    assert ours.CLASSES == expected.CLASSES == tuple(f'class{i}' for i in range(5))


def test_holds_a_data_set_that_is_built(folder):
    dataset = CustomDataset(data_prefix=folder, pipeline=PIPELINE, lazy_init=True)
    assert_same_items(CachedDataset(dataset), dataset)


def test_what_is_done_to_an_item_stays_outside(folder):
    dataset = cached(custom(folder))
    item = dataset[3]
    item['inputs'].zero_()
    item['data_samples'].set_gt_label(4).set_gt_score(torch.ones(5))
    item['data_samples'].set_field(1, 'sample_idx', field_type='metainfo')
    dataset.metainfo['classes'] = ()
    assert_same_items(dataset, DATASETS.build(custom(folder)))
    assert dataset.metainfo['classes']


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('collate', ['default_collate', 'pseudo_collate'])
def test_loads_each_image_once_an_epoch(num_workers, collate, folder):
    expected = DATASETS.build(custom(folder))
    batches = loader(
        custom(folder),
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        collate_fn=dict(type=collate),
    )
    orders = []
    for epoch in range(2):
        batches.sampler.set_epoch(epoch)
        order = []
        for batch in batches:
            batch = ClsDataPreprocessor()(batch, training=True)
            for image, sample in zip(batch['inputs'], batch['data_samples']):
                item = expected[sample.sample_idx]
                assert torch.equal(image, item['inputs'].float())
                assert torch.equal(sample.gt_label, item['data_samples'].gt_label)
                order.append(sample.sample_idx)
        assert sorted(order) == list(range(16))
        orders.append(order)
    assert orders[0] != orders[1]


def test_can_be_concatenated_and_repeated(folder):
    one = dict(type='luminet_mm.CachedDataset', dataset=custom(folder))
    both = ConcatDataset([one, one])
    assert len(both) == 32
    assert torch.equal(both[17]['inputs'], both[1]['inputs'])
    assert len(DATASETS.build(dict(type='RepeatDataset', dataset=one, times=2))) == 32


@pytest.mark.parametrize('distil', [False, True])
def test_trains_two_epochs(distil, tmp_path):
    model = classifier(
        data_preprocessor=dict(type='luminet_mm.CropFlipDataPreprocessor')
    )
    teacher = classifier(backbone=dict(base_channels=4), head=dict(in_channels=32))
    if distil:
        ckpt = save_weights(teacher, tmp_path / 'teacher.pth')
        model = distilled(model, teacher, ckpt)
    curves = []
    for run in range(2):
        cfg = classification_run(model, tmp_path, tmp_path / f'run{run}')
        train_dataloader = cfg['train_dataloader']
        train_dataloader['dataset'] = dict(
            type='luminet_mm.CachedDataset', dataset=train_dataloader['dataset']
        )
        train_dataloader['collate_fn'] = dict(type='default_collate')
        cfg.update(
            val_dataloader=dict(train_dataloader, sampler=dict(type='DefaultSampler')),
            val_cfg=dict(),
            val_evaluator=dict(type='Accuracy', topk=(1,)),
        )
        runner = Runner.from_cfg(Config(cfg))
        runner.train()
        assert 0 <= runner.message_hub.get_scalar('val/accuracy/top1').current() <= 100
        curves.append(runner.message_hub.get_scalar('train/loss').data[0])
        checkpoint = load_checkpoint(tmp_path / f'run{run}' / 'epoch_2.pth')
        classes = checkpoint['meta']['dataset_meta']['classes']
        assert classes == tuple(f'class{i}' for i in range(5))
    assert len(curves[0]) == 8
    assert np.isfinite(curves[0]).all()
    # the same seed on one machine is the same training
    assert np.array_equal(*curves)


@pytest.mark.parametrize(
    'transform',
    [
        dict(type='RandomFlip', prob=0.5),
        dict(type='RandomFlip', prob=1e-6),
        dict(type='RandomCrop', crop_size=32, padding=4),
        dict(type='RandomResizedCrop', scale=32),
        dict(type='ColorJitter', brightness=0.5),
        dict(type='AutoAugment', policies='imagenet'),
    ],
)
def test_refuses_a_random_transform(transform, folder):
    message = (
        rf'CachedDataset\.dataset\.pipeline has {transform["type"]}, which draws .*'
        'CropFlipDataPreprocessor'
    )
    with pytest.raises(ValueError, match=message):
        cached(custom(folder, [PIPELINE[0], transform, PIPELINE[1]]))


def test_refuses_images_of_two_sizes(folder, tmp_path):
    image_folder(tmp_path / 'other', num_images=1, size=16)
    other = tmp_path / 'other' / 'images' / 'class0' / '000.png'
    other.rename(tmp_path / 'images' / 'class1' / 'small.png')
    message = r'image \d+ has the shape \(3, 16, 16\) .*\(3, 32, 32\).*Resize'
    with pytest.raises(ValueError, match=message):
        cached(custom(folder))


@pytest.mark.parametrize('pipeline', [[], PIPELINE[:1], PIPELINE[1:]])
def test_refuses_a_pipeline_that_packs_no_image(pipeline, folder):
    with pytest.raises(ValueError, match=r'pipeline=.* gives no image tensor `inputs`'):
        cached(custom(folder, pipeline))


def test_refuses_what_has_no_pipeline(folder):
    with pytest.raises(TypeError, match=r'dataset is a RepeatDataset, but only'):
        cached(dict(type='RepeatDataset', dataset=custom(folder), times=2))
    with pytest.raises(TypeError, match=r'dataset is a list, but only'):
        cached([custom(folder)])


def from_base(name, data_root):
    cfg = load_run_cfg(osp.join(BASES, name), dict(data_root=str(data_root)))
    init_default_scope(cfg.default_scope)
    return cfg


@pytest.fixture
def cifar100(tmp_path, monkeypatch):
    """Six random images in CIFAR-100's files."""
    folder = tmp_path / CIFAR100.base_folder
    folder.mkdir()
    rng = np.random.RandomState(0)
    names = dict(CIFAR100.train_list + CIFAR100.test_list)
    for name in names:
        images = rng.randint(0, 256, (6, 3 * 32 * 32), dtype=np.uint8)
        file = pickle.dumps(dict(data=images, fine_labels=list(range(94, 100))))
        (folder / name).write_bytes(file)
        names[name] = hashlib.md5(file).hexdigest()
    monkeypatch.setattr(CIFAR100, 'train_list', [['train', names['train']]])
    monkeypatch.setattr(CIFAR100, 'test_list', [['test', names['test']]])
    return tmp_path


@pytest.fixture
def tinyimagenet(tmp_path):
    for split in ('train', 'val'):
        image_folder(tmp_path, num_images=6)
        (tmp_path / 'images').rename(tmp_path / split)
    return tmp_path


@pytest.mark.parametrize(
    ('name', 'fixture'),
    [('cifar100_240e.py', 'cifar100'), ('tinyimagenet32_240e.py', 'tinyimagenet')],
)
def test_shipped_base_finds_its_data(name, fixture, request):
    cfg = from_base(name, request.getfixturevalue(fixture))
    preprocessor = MODELS.build(cfg.data_preprocessor)
    for split in ('train', 'val', 'test'):
        dataloader = Runner.build_dataloader(cfg[f'{split}_dataloader'], seed=0)
        (batch,) = dataloader
        batch = preprocessor(batch, training=split == 'train')
        assert batch['inputs'].shape == (6, 3, 32, 32)
        assert batch['inputs'].abs().max() < 3


def test_validates_on_other_images_than_it_trains_on(cifar100):
    cfg = from_base('cifar100_240e.py', cifar100)
    train = DATASETS.build(cfg.train_dataloader.dataset)
    val = DATASETS.build(cfg.val_dataloader.dataset)
    assert not torch.equal(train[0]['inputs'], val[0]['inputs'])
    assert train[0]['data_samples'].gt_label == 94
    assert len(train.metainfo['classes']) == 100


def test_autoaugment_replaces_the_cache(cifar100):
    """A child config may go back to mmpretrain's pipeline."""
    path = cifar100 / 'child.py'
    path.write_text(f"""
_base_ = {osp.join(BASES, 'cifar100_240e.py')!r}
data_root = 'data/cifar100/'
data_preprocessor = dict(type='ClsDataPreprocessor')
train_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    dataset=dict(
        _delete_=True,
        type='CIFAR100',
        data_root=data_root,
        split='train',
        pipeline=[
            dict(type='RandomCrop', crop_size=32, padding=4),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='AutoAugment', policies='imagenet'),
            dict(type='PackInputs'),
        ],
    ),
)
""")
    cfg = from_base(path, cifar100)
    dataloader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    assert type(dataloader.dataset) is CIFAR100
    preprocessor = MODELS.build(cfg.data_preprocessor)
    assert type(preprocessor) is ClsDataPreprocessor
    (batch,) = dataloader
    assert preprocessor(batch, training=True)['inputs'].shape == (6, 3, 32, 32)
    cached(cfg.val_dataloader.dataset.dataset)
