"""The command-line tools, run as a user runs them, on the CPU."""

import glob
import json
import os
import os.path as osp
import socket
import subprocess
import sys

import mmengine
import pytest
import torch
from mmdet import __file__ as mmdet_file
from mmengine.config import Config
from tiny import (
    build,
    classification_run,
    classifier,
    detection_run,
    distilled,
    faster_rcnn,
    save_weights,
)

from luminet_mm.config import load_model_cfg

ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))
UPSTREAM = osp.join(osp.dirname(mmdet_file), '.mim', 'tools')


def run(*command, cwd=None, check=True):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    path = osp.dirname(sys.executable) + os.pathsep + os.environ['PATH']
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=dict(os.environ, PATH=path, PORT=port),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert not check or done.returncode == 0, done.stdout[-5000:]
    return done


def tool(name, *arguments, **kwargs):
    interpreter = [] if name.endswith('.sh') else [sys.executable]
    return run(*interpreter, osp.join(ROOT, 'tools', name), *arguments, **kwargs)


def dump(cfg, path):
    Config(cfg).dump(path)
    return path


def weights(work_dir, name='epoch_1.pth'):
    return torch.load(osp.join(work_dir, name), map_location='cpu')['state_dict']


def metrics(work_dir):
    (path,) = glob.glob(f'{work_dir}/*/*.json')
    with open(path) as file:
        return json.loads(file.readlines()[-1])


@pytest.mark.parametrize('loss', ['KDLoss', 'LuminetLoss'])
def test_two_processes_train_as_one(loss, tmp_path):
    """Two processes with half the batch each end with the weights of one.

    LumiNet's statistics are each process's own, so its value differs; the run
    must go through, and leave one student that both processes agree on.
    """
    student = classifier(backbone=dict(norm_eval=True))  # no statistics of a batch
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    model = distilled(student, classifier(), ckpt)
    model['distill_losses'] = dict(loss_x=dict(type=f'luminet_mm.{loss}'))
    results = {}
    for name, batch_size in (('one', 8), ('two', 4)):
        cfg = classification_run(
            model, tmp_path, tmp_path / name, batch_size=batch_size, max_epochs=1
        )
        cfg['train_dataloader']['sampler']['shuffle'] = False
        cfg['train_dataloader']['pin_memory'] = False
        path = dump(cfg, tmp_path / f'{name}.py')
        if name == 'one':
            tool('train.py', path)
        else:
            tool('dist_train.sh', path, 2)
        results[name] = weights(tmp_path / name)
    one, two = results['one'], results['two']
    assert list(one) == list(two)
    start = build(student).state_dict()
    assert not torch.equal(one['head.fc.weight'], start['head.fc.weight'])
    if loss == 'KDLoss':
        for name, value in one.items():
            torch.testing.assert_close(value, two[name], rtol=1e-4, atol=1e-6)


def test_detection_from_training_to_upstreams_test_tool(tmp_path):
    """Train on two processes, stop, resume, and test four ways alike."""
    ckpt = save_weights(faster_rcnn(), tmp_path / 'teacher.pth')
    student = faster_rcnn(test_cfg=dict(rcnn=dict(score_thr=0.0)))  # keeps 100 boxes
    model = distilled(student, faster_rcnn(), ckpt, warmup=1)
    cfg = detection_run(model, tmp_path / 'data', tmp_path / 'run', max_epochs=1)
    cfg['optim_wrapper'].update(type='OptimWrapper')
    cfg['auto_scale_lr'] = dict(base_batch_size=2)
    config = dump(cfg, tmp_path / 'distillation.py')
    # what a user has who never heard of luminet_mm: the student's config
    plain = dict(cfg, model=load_model_cfg(student, 'model'))
    plain = dump(plain, tmp_path / 'plain.py')

    log = tool('dist_train.sh', config, 2, '--auto-scale-lr').stdout
    assert 'Distillation' not in log  # log_level is WARNING; INFO stays quiet
    log = tool(
        'dist_train.sh', config, 2, '--resume', '--cfg-options',
        'train_cfg.max_epochs=2', 'log_level=INFO',
    ).stdout  # fmt: skip
    assert 'resumed epoch: 1' in log
    assert 'Distillation' in log
    checkpoint = tmp_path / 'run/epoch_2.pth'

    results = {}
    for name, command in {
        'ours': ['test.py', config, checkpoint],
        'distributed': ['dist_test.sh', config, checkpoint, 2],
        'student': ['test.py', plain, checkpoint],
        'upstream': [f'{UPSTREAM}/test.py', plain, checkpoint],
    }.items():
        out = tmp_path / f'{name}.pkl'
        tool(*command, '--work-dir', tmp_path / name, '--out', out)
        boxes = {r['img_id']: r['pred_instances'] for r in mmengine.load(out)}
        assert len(boxes) == 4
        assert all(len(found['scores']) == 100 for found in boxes.values())
        coco = {k: v for k, v in metrics(tmp_path / name).items() if 'coco' in k}
        assert len(coco) == 6
        results[name] = dict(coco=coco, boxes=boxes)
    for result in results.values():
        assert result['coco'] == results['ours']['coco']
        for image, found in result['boxes'].items():
            for key in ('bboxes', 'scores', 'labels'):
                assert torch.equal(found[key], results['ours']['boxes'][image][key])
