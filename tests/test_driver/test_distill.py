"""`luminet distill` from two names to a table."""

import json
import os
import os.path as osp
import runpy
import subprocess
import sys
from unittest import mock

import mmpretrain
import pytest
import torch
from data_sets import write_coco, write_images
from mmdet import __file__ as mmdet_file
from mmengine.config import Config
from tiny import dense, faster_rcnn, save_weights

from luminet_mm.driver import Distillation, distill
from luminet_mm.driver.training import Training
from luminet_mm.logs import read_scalars

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
UPSTREAM = osp.join(osp.dirname(mmdet_file), '.mim', 'tools', 'train.py')
SMALL = 'luminet_mm::cifar100/resnet8x4.py'


def model_file(path, model):
    """A config of a user: a tiny model on COCO's data and schedule."""
    model = dict(model)
    base = model.pop('cfg_path')
    del model['_scope_']
    bases = [base]
    if '_base_/models' in base:  # the model alone
        parts = ('datasets/coco_detection', 'schedules/schedule_1x', 'default_runtime')
        bases += [f'mmdet::_base_/{part}.py' for part in parts]
    path.write_text(
        f'_base_ = {bases!r}\nmodel = {model!r}\n'
        'train_dataloader = dict(num_workers=0, dataset=dict(filter_cfg=None))\n'
    )
    return str(path)


@pytest.fixture(scope='module')
def detection(tmp_path_factory):
    """Files of a teacher and a student, data, and weights of the teacher."""
    root = tmp_path_factory.mktemp('detection')
    teacher = faster_rcnn(
        80, backbone=dict(base_channels=16), neck=dict(in_channels=[16, 32, 64, 128])
    )
    fitting = faster_rcnn(
        2, backbone=dict(base_channels=16), neck=dict(in_channels=[16, 32, 64, 128])
    )
    return dict(
        teacher=model_file(root / 'big.py', teacher),
        student=model_file(root / 'small.py', faster_rcnn(80)),
        coco=write_coco(root / 'data'),
        teacher_ckpt=save_weights(fitting, root / 'big.pth'),
        epochs=1,
        batch_size=2,
        cfg_options={'train_dataloader.dataset.pipeline': SMALL_IMAGES},
    )


SMALL_IMAGES = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs'),
]


def first_losses(work_dir):
    log = next(log for log in read_scalars(str(work_dir)) if 'loss' in log)
    return {key: value for key, value in log.items() if 'loss' in key}


def run_tool(path, *arguments):
    with mock.patch.object(sys, 'argv', [path, *arguments]), mock.patch.dict(
        os.environ
    ):
        runpy.run_path(path, run_name='__main__')


def test_a_dry_run_writes_what_any_tool_trains(detection, tmp_path, capsys):
    work_dir = tmp_path / 'work'
    rows = distill(dry_run=True, work_dir=str(work_dir), **detection)
    assert rows == []
    printed = capsys.readouterr().out
    assert 'boxes of' in printed and 'mmengine - INFO' not in printed
    assert printed.count('tools/train.py') == printed.count('tools/test.py') == 1
    assert sorted(os.listdir(work_dir)) == [
        'luminet_box_rpn.py',
        'student.py',
        'teacher.py',
    ]
    config = work_dir / 'luminet_box_rpn.py'
    assert 'cfg_path' not in config.read_text()

    losses = []
    ours = osp.join(ROOT, 'tools', 'train.py')
    for number, train in enumerate((ours, UPSTREAM)):
        out = tmp_path / str(number)
        # two runs of one process would share their visualizer
        name = f'visualizer.name=run{out.name}'
        run_tool(train, str(config), '--work-dir', str(out), '--cfg-options', name)
        losses.append(first_losses(out))
    assert {'loss_luminet', 'loss_box', 'loss_rpn', 'loss_cls'} <= set(losses[0])
    assert losses[0] == losses[1]


def test_a_second_distillation_in_its_work_dir_is_refused(detection, tmp_path):
    work_dir = str(tmp_path / 'work')
    distill(dry_run=True, work_dir=work_dir, **detection)
    distill(dry_run=True, work_dir=work_dir, **detection)  # the same
    before = {p.name: p.read_bytes() for p in (tmp_path / 'work').iterdir()}
    with pytest.raises(ValueError, match='of another distillation: .*differs'):
        distill(dry_run=True, work_dir=work_dir, **{**detection, 'epochs': 2})
    assert before == {p.name: p.read_bytes() for p in (tmp_path / 'work').iterdir()}
    # another method has the same teacher and student
    distill(dry_run=True, work_dir=work_dir, methods=['pkd'], alone=True, **detection)
    assert len(os.listdir(work_dir)) == len(before) + 1


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(student='retinanet'), 'model.teacher'),
        (dict(student=SMALL, coco=None), 'is a detector and .* a classifier'),
        (dict(methods=['lumine']), "--method lumine.*did you mean 'luminet'"),
        (dict(methods=['teacher']), '--method teacher'),
        (dict(teacher_ckpt='nowhere.pth'), "teacher_ckpt='nowhere.pth': no such file"),
        (dict(epochs=0), '--epochs=0'),
        (dict(amp=True), '--amp needs a GPU'),
        (dict(images='x'), '--coco and --images'),
        (dict(gpus=2, jobs=2), '--gpus 2 --jobs 2'),
        (dict(cfg_options={'optim_wraper.lr': 1}), 'optim_wraper'),
        (dict(cfg_options={'model.warmp': 1}), 'warmp'),
        (dict(work_dir='file/work'), '--work-dir file/work cannot be made'),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    options, message, detection, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').write_text('')
    if options.get('student') == 'retinanet':
        options = dict(
            student=model_file(tmp_path / 'dense.py', dense('retinanet', 80))
        )
    with pytest.raises(ValueError, match=message):
        distill(dry_run=True, **{**detection, 'work_dir': 'work', **options})
    assert not osp.exists('work')


def test_no_space_is_seen_before(detection, tmp_path):
    usage = mock.Mock(return_value=mock.Mock(free=1e5))
    with mock.patch('shutil.disk_usage', usage):
        with pytest.raises(ValueError, match='0 MB are free .* take about'):
            distill(dry_run=True, work_dir=str(tmp_path / 'work'), **detection)


@pytest.fixture(scope='module')
def distilled(tmp_path_factory):
    """Images of one's own, from the command line, in processes of their own."""
    root = tmp_path_factory.mktemp('images')
    arguments = [
        *(sys.executable, '-m', 'luminet_mm', 'distill', SMALL, SMALL),
        *('--images', write_images(root / 'data'), '--work-dir', str(root / 'work')),
        *('--epochs', '2', '--batch-size', '4', '--method', 'kd'),
    ]
    done = subprocess.run(
        arguments, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return root / 'work', done.stdout, arguments


def test_from_images_to_a_table(distilled):
    work_dir, printed, _ = distilled
    rows = json.loads((work_dir / 'results.json').read_text())
    assert [row['name'] for row in rows] == ['teacher', 'kd']
    assert all(0 <= row['top-1'] <= 100 for row in rows)
    assert (work_dir / 'results.md').read_text() in printed
    # neither upstream's start-up nor its warnings reach the console
    assert 'mmengine - INFO' not in printed and 'Warning' not in printed
    assert (work_dir / 'kd' / 'output.log').read_text().count('mmengine - INFO') > 10
    weights = torch.load(rows[-1]['checkpoint'], map_location='cpu')['state_dict']
    assert not any(name.startswith(('student', 'teacher')) for name in weights)
    assert 'loss_kd' in first_losses(work_dir / 'kd')


def test_upstreams_tool_trains_a_classifier_as_well(distilled, tmp_path):
    work_dir, _, _ = distilled
    path = osp.join(osp.dirname(mmpretrain.__file__), '.mim', 'tools', 'train.py')
    run_tool(path, str(work_dir / 'kd.py'), '--work-dir', str(tmp_path))
    assert first_losses(tmp_path) == pytest.approx(first_losses(work_dir / 'kd'))


def test_what_is_complete_is_not_done_again(distilled):
    work_dir, _, arguments = distilled
    options = dict(
        images=str(work_dir.parent / 'data'),
        work_dir=str(work_dir),
        epochs=2,
        batch_size=4,
        methods=['kd'],
    )
    again = Distillation(SMALL, SMALL, **options)
    again.plan()
    assert again.commands() == []
    # the runner names a checkpoint when it is whole
    last = work_dir / 'kd' / 'last_checkpoint'
    before = last.read_text()
    last.write_text(before.replace('epoch_2', 'epoch_1'))
    try:
        (command,) = again.commands()
    finally:
        last.write_text(before)
    assert '--resume' in command and 'kd.py' in command


def test_a_failure_ends_all_with_its_last_words(distilled, tmp_path):
    work_dir, _, _ = distilled
    planned = Distillation(
        SMALL,
        SMALL,
        images=str(work_dir.parent / 'data'),
        work_dir=str(tmp_path),
        methods=['kd'],
        epochs=1,
    )
    planned.plan()
    training = planned.trainings['kd']
    cfg = Config.fromfile(training.config)
    cfg.model.teacher_ckpt = 'gone.pth'
    cfg.dump(training.config)
    with pytest.raises(
        ValueError, match='student, kd failed: .*gone.pth.*no such file'
    ):
        planned._complete(training)


def test_several_gpus_are_torchruns(tmp_path):
    cfg = Config(dict(train_cfg=dict(max_epochs=3)))
    cfg.dump(str(tmp_path / 'kd.py'))
    training = Training('kd', 'student, kd', str(tmp_path), 'student', gpus=2)
    (_, train), (_, test) = training.commands()
    scripts = osp.join(ROOT, 'tools')
    for command, name in ((train, 'dist_train.sh'), (test, 'dist_test.sh')):
        assert osp.realpath(command[1]) == osp.join(scripts, name)
    assert train[2:] == [
        training.config,
        '2',
        '--work-dir',
        training.work_dir,
        '--resume',
    ]
    assert test[2:5] == [str(tmp_path / 'student.py'), training.checkpoint, '2']
