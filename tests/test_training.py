"""Whole runs through mmengine's runner: what a user's training leaves behind."""

import copy
import glob

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
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

from luminet_mm.distillers.acceleration import accelerate


@HOOKS.register_module(force=True)
class InterruptHook(Hook):
    """Ends a run in its second epoch, as a kill would."""

    priority = 'VERY_LOW'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == 1 and batch_idx == 1:
            raise KeyboardInterrupt


@HOOKS.register_module(force=True)
class RememberTeacherHook(Hook):
    """Keeps the teacher as it was before training, and checks it all along."""

    def before_train(self, runner):
        self.before = copy.deepcopy(runner.model.teachers[0].model)

    def after_train_iter(self, runner, *args, **kwargs):
        teacher = runner.model.teachers[0].model
        assert runner.model.student.training
        assert not any(module.training for module in teacher.modules())

    def after_train(self, runner):
        after = runner.model.teachers[0].model.state_dict()
        before = accelerate(self.before, channels_last=True).state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[k], v) for k, v in before.items())
        runner.message_hub.update_info('teacher_is_unchanged', True)


def train(cfg):
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    return runner


# A detector whose step draws no random number: nothing is sampled away
ALL_ROIS = dict(
    rpn=dict(sampler=dict(_delete_=True, type='PseudoSampler')),
    rcnn=dict(sampler=dict(num=1000, pos_fraction=1.0)),
)
TASKS = {
    'classification': (classifier, classification_run, {}),
    'detection': (faster_rcnn, detection_run, dict(train_cfg=ALL_ROIS)),
}


@pytest.mark.parametrize('task', TASKS)
def test_checkpoint_is_the_plain_students(task, tmp_path):
    make, make_run, _ = TASKS[task]
    ckpt = save_weights(make(), tmp_path / 'teacher.pth')
    model = distilled(make(), make(), ckpt)
    hooks = [dict(type='RememberTeacherHook')]
    cfg = make_run(model, tmp_path, tmp_path / 'run', custom_hooks=hooks)
    runner = train(cfg)
    assert runner.message_hub.get_info('teacher_is_unchanged')

    checkpoint = load_checkpoint(tmp_path / 'run/epoch_2.pth')
    plain = build(make(), seed=7)
    assert list(checkpoint['state_dict']) == list(plain.state_dict())
    plain.load_state_dict(checkpoint['state_dict'], strict=True)
    for name, value in runner.model.student.state_dict().items():
        assert torch.equal(plain.state_dict()[name], value), name
    num_params = len(list(plain.parameters()))
    assert len(checkpoint['optimizer']['state']) == num_params

    # and back: the distiller takes a plain student's checkpoint
    cfg = make_run(model, tmp_path, tmp_path / 'again', load_from=ckpt, max_epochs=0)
    again = train(cfg)
    for name, value in load_checkpoint(ckpt)['state_dict'].items():
        assert torch.equal(again.model.student.state_dict()[name], value), name


@pytest.mark.parametrize('task', TASKS)
def test_resumed_run_equals_an_uninterrupted_one(task, tmp_path):
    make, make_run, overrides = TASKS[task]
    ckpt = save_weights(make(), tmp_path / 'teacher.pth', seed=5)
    student = make(**overrides)
    model = distilled(student, make(), ckpt, warmup=3)

    train(make_run(model, tmp_path, tmp_path / 'whole', max_epochs=3))
    with pytest.raises(KeyboardInterrupt):
        train(
            make_run(
                model,
                tmp_path,
                tmp_path / 'parts',
                max_epochs=3,
                custom_hooks=[dict(type='InterruptHook')],
            )
        )
    assert not glob.glob(f'{tmp_path}/parts/epoch_2.pth')
    train(make_run(model, tmp_path, tmp_path / 'parts', max_epochs=3, resume=True))

    whole, parts = (
        load_checkpoint(tmp_path / f'{run}/epoch_3.pth') for run in ('whole', 'parts')
    )
    for name, value in whole['state_dict'].items():
        assert torch.equal(value, parts['state_dict'][name]), name
    momenta = (run['optimizer']['state'] for run in (whole, parts))
    for one, other in zip(*(m.values() for m in momenta)):
        assert torch.equal(one['momentum_buffer'], other['momentum_buffer'])
    assert whole['param_schedulers'] == parts['param_schedulers']


def test_ema_holds_the_student_alone(tmp_path):
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    model = distilled(classifier(), classifier(), ckpt)
    hooks = [dict(type='EMAHook', momentum=0.5, update_buffers=True)]
    cfg = classification_run(model, tmp_path, tmp_path / 'run', custom_hooks=hooks)
    runner = train(cfg)
    checkpoint = load_checkpoint(tmp_path / 'run/epoch_2.pth')
    plain = build(classifier())
    plain.load_state_dict(checkpoint['state_dict'], strict=True)
    names = [f'module.{name}' for name in plain.state_dict()]
    assert [n for n in checkpoint['ema_state_dict'] if n != 'steps'] == names
    weight = runner.model.student.backbone.conv1.weight
    assert not torch.equal(plain.backbone.conv1.weight, weight)  # the average differs


def test_nothing_but_the_student_is_trained(tmp_path):
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    model = distilled(classifier(), classifier(), ckpt)
    runner = train(classification_run(model, tmp_path, tmp_path / 'run', max_epochs=1))
    plain = [name for name, _ in build(classifier()).named_parameters()]
    assert [name for name, _ in runner.model.named_parameters()] == plain
    optimized = runner.optim_wrapper.optimizer.param_groups[0]['params']
    assert {id(p) for p in optimized} == {id(p) for p in runner.model.parameters()}


def test_student_does_not_depend_on_the_teacher(tmp_path):
    """The same seed gives the same student, alone or beside any teacher."""
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    students = {}
    for name, model in (
        ('alone', classifier()),
        ('distilled', distilled(classifier(), classifier(), ckpt)),
    ):
        cfg = classification_run(model, tmp_path, tmp_path / name, max_epochs=0)
        runner = train(cfg)
        state = runner.model.state_dict()
        students[name] = (state, torch.rand(1))
    state, draw = students['alone']
    assert all(torch.equal(v, students['distilled'][0][k]) for k, v in state.items())
    assert torch.equal(draw, students['distilled'][1])


def test_tested_without_a_teacher(tmp_path):
    """The same config only tested: no teacher is built, no weights are read."""
    model = distilled(faster_rcnn(), dict(cfg_path='mmdet::missing.py'), 'missing.pth')
    ckpt = save_weights(faster_rcnn(), tmp_path / 'student.pth', seed=3)
    cfg = detection_run(model, tmp_path, tmp_path / 'run', load_from=ckpt)
    metrics = Runner.from_cfg(Config(cfg)).test()
    assert 'coco/bbox_mAP' in metrics


def test_zero_loss_is_warned_of(tmp_path):
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    model = distilled(classifier(), classifier(), ckpt)
    model['distill_losses']['loss_luminet']['loss_weight'] = 0.0
    model['distill_losses']['loss_kd'] = dict(type='luminet_mm.KDLoss')
    hooks = [dict(type='luminet_mm.ZeroLossHook', interval=3)]
    cfg = classification_run(model, tmp_path, tmp_path / 'run', custom_hooks=hooks)
    runner = train(cfg)
    with open(glob.glob(f'{runner.log_dir}/*.log')[0]) as file:
        log = file.read()
    assert "distillation loss 'loss_luminet' was exactly zero for 3 iterations" in log
    assert "'loss_kd' was exactly zero" not in log
