"""The command-line tools, run as a user runs them, on the CPU."""

import os
import os.path as osp
import runpy
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

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
    load_checkpoint,
    save_weights,
)

from luminet_mm.config import load_model_cfg
from luminet_mm.logs import read_last_test

ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))
UPSTREAM = osp.join(osp.dirname(mmdet_file), '.mim', 'tools')


def free_port():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return str(free.getsockname()[1])


def distributed_env(rank, port, world_size=2):
    """What a launcher tells a process of several on this machine."""
    return dict(
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=port,
        WORLD_SIZE=str(world_size),
        RANK=str(rank),
        LOCAL_RANK=str(rank),
    )


def tool(name, *arguments, cwd=None, **env):
    """Run a tool to its end and return what it printed."""
    interpreter = [] if name.endswith('.sh') else [sys.executable]
    path = osp.dirname(sys.executable) + os.pathsep + os.environ['PATH']
    done = subprocess.run(
        [*interpreter, osp.join(ROOT, 'tools', name), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, 'PATH': path, 'PORT': free_port(), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


def call(name, *arguments):
    """Run a tool in this process, for an import of everything takes long."""
    path = osp.join(ROOT, 'tools', name)
    argv = [path, *map(str, arguments)]
    with mock.patch.object(sys, 'argv', argv), mock.patch.dict(os.environ):
        runpy.run_path(path, run_name='__main__')


def dump(cfg, path):
    Config(cfg).dump(path)
    return path


def weights(work_dir, name='epoch_1.pth'):
    return load_checkpoint(osp.join(work_dir, name))['state_dict']


def test_two_processes_train_as_one(tmp_path):
    """Two processes, or two machines of one process, with half the batch each end
    with the weights of one."""
    student = classifier(backbone=dict(norm_eval=True))  # no statistics of a batch
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    model = distilled(student, classifier(), ckpt)
    model['distill_losses'] = dict(
        loss_kd=dict(type='luminet_mm.KDLoss'),
        loss_luminet=dict(type='luminet_mm.LuminetLoss', sync_stats=True),
    )
    results = {}
    for name, batch_size in (('one', 8), ('two', 4), ('nodes', 4)):
        cfg = classification_run(
            model, tmp_path, tmp_path / name, batch_size=batch_size, max_epochs=1
        )
        cfg['train_dataloader']['sampler']['shuffle'] = False
        cfg['train_dataloader']['pin_memory'] = False
        path = dump(cfg, tmp_path / f'{name}.py')
        if name == 'one':
            tool('train.py', path)
        elif name == 'two':
            tool('dist_train.sh', path, 2)
        else:
            nodes = dict(NNODES='2', PORT=free_port())
            with ThreadPoolExecutor(2) as pool:
                done = [
                    pool.submit(tool, 'dist_train.sh', path, 1, NODE_RANK=rank, **nodes)
                    for rank in '01'
                ]
            for node in done:
                node.result()
        results[name] = weights(tmp_path / name)
    start = build(student).state_dict()['head.fc.weight']
    for result in results.values():
        assert list(result) == list(results['one'])
        assert not torch.equal(result['head.fc.weight'], start)
        for name, value in results['one'].items():
            torch.testing.assert_close(value, result[name], rtol=1e-4, atol=1e-6)


def test_detection_from_training_to_upstreams_test_tool(tmp_path):
    """Train on two processes, stop, resume, and test three ways alike."""
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

    log = tool('dist_train.sh', config, 2, '--auto-scale-lr')
    assert 'Distillation' not in log  # log_level is WARNING; INFO stays quiet
    optimizer = load_checkpoint(tmp_path / 'run/epoch_1.pth')['optimizer']
    scaled = optimizer['param_groups'][0]['initial_lr']
    assert scaled == pytest.approx(0.01 * 4 / 2)
    log = tool(
        'dist_train.sh', config, 2, '--resume', '--cfg-options',
        'train_cfg.max_epochs=2', 'log_level=INFO',
    )  # fmt: skip
    assert 'resumed epoch: 1' in log
    assert 'Distillation' in log
    checkpoint = tmp_path / 'run/epoch_2.pth'

    results = {}
    for name, command in {
        'ours': ['test.py', config, checkpoint],
        'distributed': ['dist_test.sh', plain, checkpoint, 2],
        'upstream': [f'{UPSTREAM}/test.py', plain, checkpoint],
    }.items():
        out = tmp_path / f'{name}.pkl'
        tool(*command, '--work-dir', tmp_path / name, '--out', out)
        boxes = {r['img_id']: r['pred_instances'] for r in mmengine.load(out)}
        assert len(boxes) == 4
        assert all(len(found['scores']) == 100 for found in boxes.values())
        coco = read_last_test(tmp_path / name)
        assert len(coco) == 6 and all('coco' in key for key in coco)
        results[name] = dict(coco=coco, boxes=boxes)
    for result in results.values():
        assert result['coco'] == results['ours']['coco']
        for image, found in result['boxes'].items():
            for key in ('bboxes', 'scores', 'labels'):
                assert torch.equal(found[key], results['ours']['boxes'][image][key])


@pytest.mark.parametrize(
    ('script', 'arguments', 'called'),
    [
        (
            'slurm_train.sh',
            ['part', 'job', 'c.py', 'dir', '--amp'],
            'train.py c.py --work-dir dir --launcher slurm --amp',
        ),
        (
            'slurm_test.sh',
            ['part', 'job', 'c.py', 'c.pth', '--out', 'o.pkl'],
            'test.py c.py c.pth --launcher slurm --out o.pkl',
        ),
    ],
)
def test_slurm_scripts(script, arguments, called, tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\necho "$@"\n')
    srun.chmod(0o755)
    line = tool(
        script,
        *arguments,
        PATH=f'{tmp_path}{os.pathsep}{os.environ["PATH"]}',
        GPUS='16',
        SRUN_ARGS='--time 10',
    )
    assert '-p part --job-name=job --gres=gpu:8 --ntasks=16' in line
    assert '--time 10' in line
    assert line.rstrip().endswith(called)
