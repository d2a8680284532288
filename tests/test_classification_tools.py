"""The classification tools and the transfer test, run as a user runs them."""

import json
import os

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from test_tools import ROOT, call, dump, tool, weights
from tiny import (
    classification_run,
    classifier,
    distilled,
    image_folder,
    load_checkpoint,
    save_weights,
)


def tiny_imagenet(root, size=8):
    """Two classes in the layout of the published archive; returns an image."""
    rng = np.random.RandomState(0)
    image = rng.randint(0, 256, (size, size, 3), dtype=np.uint8)
    for label in ('n01', 'n02'):
        mmcv.imwrite(image, str(root / f'train/{label}/images/{label}_0.JPEG'))
    for index in range(2):
        mmcv.imwrite(image, str(root / f'val/images/val_{index}.JPEG'))
    (root / 'val/val_annotations.txt').write_text(
        'val_0.JPEG\tn02\t0\t0\t7\t7\nval_1.JPEG\tn01\t0\t0\t7\t7\n'
    )
    return mmcv.imread(str(root / 'val/images/val_0.JPEG')).astype(float)


def test_turns_tiny_imagenet_into_folders(tmp_path):
    src, out = tmp_path / 'tiny-imagenet-200', tmp_path / 'out'
    image = tiny_imagenet(src)
    converter = 'dataset_converters/tinyimagenet2folders.py'
    tool(converter, src, out, '--size', 4)
    found = sorted(str(p.relative_to(out)) for p in out.rglob('*.png'))
    assert found == [
        'train/n01/n01_0.png',
        'train/n02/n02_0.png',
        'val/n01/val_1.png',
        'val/n02/val_0.png',
    ]
    # each pixel is the mean of the four that it was
    small = image.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    got = mmcv.imread(str(out / 'val/n02/val_0.png'))
    assert np.abs(got - small).max() <= 1
    before = sorted(out.rglob('*'))
    with pytest.raises(ValueError, match='exists and is not overwritten: name a new'):
        call(converter, src, out)
    assert sorted(out.rglob('*')) == before
    with pytest.raises(SystemExit, match='has no train'):
        call(converter, out / 'train', tmp_path / 'other')


@pytest.mark.parametrize(
    'line',
    [
        'val_0.JPEG\t../../x\t0',
        'val_0.JPEG\t/tmp/x\t0',
        'val_0.JPEG\t..\t0',
        'val_0.JPEG\t\t0',
        'val_0.JPEG\tn03\t0',
        'val_0.JPEG',
        '../images/val_0.JPEG\tn02\t0',
        '{root}/val/images/val_0.JPEG\tn02\t0',
        'val_9.JPEG\tn02\t0',
        'val_1.JPEG\tn02\t0',  # a second label
    ],
)
def test_labels_name_files_and_classes_that_there_are(line, tmp_path):
    """Nothing is read or written elsewhere, and nothing half is left."""
    src = tmp_path / 'src'
    tiny_imagenet(src)
    labels = src / 'val/val_annotations.txt'
    labels.write_text(f'val_1.JPEG\tn01\t0\n{line.format(root=src)}\n')
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(ValueError, match='line 2 of .*val_annotations.txt is'):
        call('dataset_converters/tinyimagenet2folders.py', src, tmp_path / 'out')
    assert sorted(tmp_path.rglob('*')) == before


def test_draws_digits_into_a_new_folder(tmp_path):
    converter = 'dataset_converters/digits2coco.py'
    counts = [f'--num-{split}=1' for split in ('train', 'val', 'test')]
    out = tmp_path / 'my digits'
    call(converter, out, *counts)
    assert len(list(out.rglob('*.jpg'))) == 3
    assert list(tmp_path.iterdir()) == [out]
    (out / 'mine.txt').write_text('kept')
    with pytest.raises(ValueError, match='exists and is not overwritten'):
        call(converter, out, *counts, '--seed', 1)
    assert len(list(out.rglob('*.*'))) == 3 + 3 + 1
    with pytest.raises(
        ValueError, match='--num-train=-1 must be a finite number of at'
    ):
        call(converter, tmp_path / 'other', '--num-train=-1')
    assert list(tmp_path.iterdir()) == [out]


def test_chain_of_assistants_goes_on_where_it_was(tmp_path):
    """Teacher and assistant in a row; the same command again trains nothing anew."""
    teacher = classification_run(classifier(), tmp_path, tmp_path / 'teacher')
    assistant = classification_run(
        distilled(classifier(), classifier(), str(tmp_path / 'teacher/epoch_1.pth')),
        tmp_path,
        tmp_path / 'assistant',
    )
    configs = [
        dump(cfg, tmp_path / f'{name}.py')
        for name, cfg in (('teacher', teacher), ('assistant', assistant))
    ]
    arguments = [*configs, '--cfg-options', 'train_cfg.max_epochs=1']
    tool('train_chain.sh', *arguments)
    made = [tmp_path / name / 'epoch_1.pth' for name in ('teacher', 'assistant')]
    before = [path.stat().st_mtime_ns for path in made]
    tool('train_chain.sh', *arguments)
    assert [path.stat().st_mtime_ns for path in made] == before
    with pytest.raises(AssertionError, match='Usage: .*train_chain.sh CONFIG'):
        tool('train_chain.sh')


@pytest.mark.parametrize('work_dir', ['--work-dir|my runs', '--work-dir=my runs'])
def test_each_of_a_chain_has_a_work_dir(work_dir, tmp_path):
    """Or the second would be resumed from the first, and not trained."""
    python = tmp_path / 'python'
    python.write_text(
        '#!/bin/sh\nshift\nfor word; do printf "<%s>" "$word"; done; echo\n'
    )
    python.chmod(0o755)
    env = dict(PATH=f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')
    for config in ('x/a.py', 'y/a.py', 'y/b+c.py'):
        (tmp_path / config).parent.mkdir(exist_ok=True)
        (tmp_path / config).touch()
    env['cwd'] = tmp_path
    chain = ['train_chain.sh', 'x/a.py', 'y/b+c.py']
    log = tool(*chain, '--amp', *work_dir.split('|'), '--cfg-options', 'a=b c', **env)
    assert log.splitlines() == [
        f'<{config}><--resume><--amp><--cfg-options><a=b c><--work-dir><my runs/{name}>'
        for config, name in (('x/a.py', 'a'), ('y/b+c.py', 'b+c'))
    ]
    assert '--work-dir' not in tool(*chain, **env)
    for arguments, message in (
        (['x/a.py', 'y/a.py'], 'two configs are named a;'),
        (['x/a.py', 'x/none.py'], 'x/none.py: no such file'),
        (['x/a.py', '--work-di', 'd'], '--work-di: write --work-dir'),
        (['x/a.py', '--work-dir'], '--work-dir names no folder'),
    ):
        with pytest.raises(AssertionError, match=message):
            tool('train_chain.sh', *arguments, **env)


def test_linear_probe_trains_the_classifier_alone(tmp_path):
    """Figure 4(a)'s config, from a checkpoint of the WRN-16-2 that it names."""
    cfg = Config.fromfile(f'{ROOT}/configs/tinyimagenet/wrn_16_2_linear_tin32.py')
    student = Config.fromfile(f'{ROOT}/configs/cifar100/wrn_16_2.py').model
    student._scope_ = 'mmpretrain'
    ckpt = save_weights(student, tmp_path / 'student.pth')
    init_default_scope('mmpretrain')
    for split in ('train', 'val'):
        images = image_folder(tmp_path / split, num_images=10)
        dataset = cfg[f'{split}_dataloader'].dataset.dataset
        dataset.data_root, dataset.data_prefix = '', images
    cfg.merge_from_dict(
        {
            'model.backbone.init_cfg.checkpoint': ckpt,
            'work_dir': str(tmp_path / 'run'),
            'train_cfg.max_epochs': 1,
            'log_level': 'WARNING',
        }
    )
    Runner.from_cfg(cfg).train()
    trained = weights(tmp_path / 'run')
    for name, value in load_checkpoint(ckpt)['state_dict'].items():
        if name.startswith('backbone.'):
            assert torch.equal(trained[name], value), name
    assert trained['head.fc.weight'].shape == (200, 128)
    assert trained['head.fc.bias'].abs().max() > 0


def log_training(folder, *starts):
    """Scalars as the runner writes them: a list of (epoch, top-1) for each start."""
    for index, start in enumerate(starts):
        path = folder / f'2026010{index + 1}_000000' / 'vis_data' / 'scalars.json'
        path.parent.mkdir(parents=True)
        lines = [
            line
            for epoch, top1 in start
            for line in (
                dict(loss=2.0, lr=0.05, epoch=epoch, step=100 * epoch),
                {'accuracy/top1': top1, 'accuracy/top5': 90.0, 'step': epoch},
            )
        ]
        path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def test_compares_seeds(tmp_path):
    for seed, (alone, kd) in enumerate(((50.0, 52.0), (51.0, 54.0), (53.0, 53.0))):
        log_training(tmp_path / f'seed{seed}' / 'alone', [(1, 30.0), (2, alone)])
        # killed in its second epoch, then resumed
        log_training(tmp_path / f'seed{seed}' / 'kd', [(1, 31.0)], [(2, kd)])
    (tmp_path / 'seed0' / 'unfinished').mkdir()
    curve = tmp_path / 'curve.svg'
    table = tool(
        'analysis_tools/compare_seeds.py', tmp_path, '--baseline', 'alone', '--curve',
        curve,
    ).strip().splitlines()  # fmt: skip
    assert (
        table[0]
        == '| training | seeds | epoch | accuracy/top1 | accuracy/top5 | gain |'
    )
    assert table[-1] == f'curves: {curve}'
    assert table[2:-1] == [
        '| alone | 3 | 2 | 51.33 ± 1.53 | 90.00 ± 0.00 | +0.00 |',
        '| kd | 3 | 2 | 53.00 ± 1.00 | 90.00 ± 0.00 | +1.67 |',
    ]
    assert '</svg>' in curve.read_text()
    with pytest.raises(AssertionError, match=r"no validated training \['dkd'\]"):
        tool('analysis_tools/compare_seeds.py', tmp_path, '--names', 'dkd', 'kd')
