"""What tools/train.py and tools/test.py refuse, and what they keep, in this process."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS, init_default_scope
from mmengine.runner import FlexibleRunner, Runner
from test_tools import call, dump
from tiny import (
    build,
    classification_run,
    classifier,
    distilled,
    load_checkpoint,
    merged,
    save_weights,
)

from luminet_mm.logs import read_scalars
from luminet_mm.registry import MODELS


@RUNNERS.register_module(force=True)
class TracedRunner(FlexibleRunner):
    """Another runner than mmengine's usual one."""

    built = []

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.built.append(self)


def run(model, root, name='run', **overrides):
    """A run of classifiers that can also be tested."""
    cfg = classification_run(model, root, root / name, max_epochs=1)
    dataset = merged(cfg['train_dataloader']['dataset'], dict(test_mode=True))
    cfg['test_dataloader'] = dict(
        batch_size=8,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dataset,
    )
    cfg.update(test_cfg=dict(), test_evaluator=dict(type='Accuracy'))
    cfg['default_hooks']['logger'] = dict(type='LoggerHook', interval=1)
    return merged(cfg, overrides)


def losses(work_dir):
    return [line['loss'] for line in read_scalars(str(work_dir)) if 'loss' in line]


def test_the_work_dirs_config_is_whole(tmp_path):
    """It trains the same when the files that the run named are others, or gone."""
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth', seed=5)
    files = tmp_path / 'a b+c'
    files.mkdir()
    student = files / 'student+1.py'
    Config(dict(model=classifier(head=dict(topk=(1,))))).dump(student)
    named = dict(cfg_path=str(student), backbone=dict(base_channels=8))
    config = dump(run(distilled(named, [named], [ckpt]), tmp_path), files / 'run.py')
    work_dir = tmp_path / 'work dir+1'
    call('train.py', config, '--work-dir', work_dir)
    trained = losses(work_dir)
    assert len(trained) == 4
    whole = work_dir / 'run.py'
    assert 'cfg_path' not in whole.read_text()

    student.write_text('changed since')
    again = tmp_path / 'again'
    options = [f'experiment_name={again}'.replace('/', '_')]
    call('train.py', whole, '--work-dir', again, '--cfg-options', *options)
    assert losses(again) == trained
    assert 'cfg_path' not in (again / 'run.py').read_text()
    cfg = Config.fromfile(whole)
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'runner'), 'runner'
    Runner.from_cfg(cfg).train()
    assert losses(tmp_path / 'runner') == trained

    # neither a test nor a resumed training changes it
    ckpt = work_dir / 'epoch_1.pth'
    call('test.py', whole, ckpt, '--work-dir', work_dir)
    assert Config.fromfile(whole).get('load_from') is None
    options = ['--work-dir', work_dir, '--resume', ckpt, '--cfg-options']
    call('train.py', whole, *options, 'experiment_name=resumed')
    kept = Config.fromfile(whole)
    assert (kept.get('load_from'), kept.get('resume')) == (None, False)
    assert 'cfg_path' not in whole.read_text()


def test_runner_type_is_honoured(tmp_path):
    cfg = run(classifier(), tmp_path, runner_type='TracedRunner', env_cfg=dict())
    config = dump(cfg, tmp_path / 'run.py')
    call('train.py', config)
    call('test.py', config, tmp_path / 'run/epoch_1.pth', '--work-dir', tmp_path / 'x')
    assert len(TracedRunner.built) == 2
    assert len(losses(tmp_path / 'run')) == 4
    other = save_weights(classifier(7), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='other.pth is not of the model'):
        call('test.py', config, other, '--work-dir', tmp_path / 'y')


MUTUAL = dict(
    type='luminet_mm.MutualDistiller',
    student=classifier(),
    peers=classifier(),
    distill_losses=dict(loss_dml=dict(type='luminet_mm.KDLoss', tau=1.0)),
)
TTA = dict(
    tta_model=dict(type='AverageClsScoreTTA'),
    tta_pipeline=[
        dict(type='LoadImageFromFile'),
        dict(
            type='TestTimeAug',
            transforms=[
                [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)],
                [dict(type='PackInputs')],
            ],
        ),
    ],
)


def configs(tmp_path):
    """The student's own run and those that distil it; none needs its teacher."""
    models = dict(
        plain=classifier(),
        distilled=distilled(classifier(), dict(cfg_path='none.py'), 'none.pth'),
        mutual=MUTUAL,
    )
    return {
        name: dump(run(model, tmp_path, name, **TTA), tmp_path / f'{name}.py')
        for name, model in models.items()
    }


@pytest.mark.parametrize('option', [[], ['--tta']])
def test_any_checkpoint_of_the_student_is_tested(option, tmp_path):
    init_default_scope('mmpretrain')
    torch.save(MODELS.build(MUTUAL).state_dict(), tmp_path / 'mutual.pth')
    save_weights(classifier(), tmp_path / 'plain.pth')
    ddp = {f'module.{k}': v for k, v in build(classifier()).state_dict().items()}
    torch.save(dict(state_dict=ddp), tmp_path / 'ddp.pth')
    for name, config in configs(tmp_path).items():
        for ckpt in ('plain', 'mutual', 'ddp'):
            work_dir = tmp_path / f'{name}_{ckpt}'
            experiment = str(work_dir).replace('/', '_')
            call(
                'test.py', config, tmp_path / f'{ckpt}.pth', '--work-dir', work_dir,
                *option, '--cfg-options', f'experiment_name={experiment}',
            )  # fmt: skip
            assert list(work_dir.glob('*/*.json'))


@pytest.mark.parametrize('option', [[], ['--tta']])
@pytest.mark.parametrize(
    ('other', 'message'),
    [
        (
            classifier(7),
            r'tensors 2 of another shape: size mismatch for head.fc.weight: .*fc.bias',
        ),
        (
            classifier(backbone=dict(depth=34)),
            r'tensors \d+ unexpected: backbone.layer1.2.conv1.weight, .*, \.\.\.$',
        ),
        (None, r'tensors 1 missing: head.fc.bias; 1 unexpected: head.fc.offset$'),
    ],
)
def test_another_models_checkpoint_is_refused(other, message, option, tmp_path):
    path = tmp_path / 'other.pth'
    weights = build(other or classifier()).state_dict()
    if other is None:
        weights['head.fc.offset'] = weights.pop('head.fc.bias')
    torch.save(dict(state_dict=weights), path)
    for config in configs(tmp_path).values():
        with pytest.raises(ValueError, match=f'other.pth is not of the .*{message}'):
            call('test.py', config, path, *option)


def test_an_averaged_checkpoint_is_tested(tmp_path):
    """EMAHook has a say in what is loaded."""
    hooks = [dict(type='EMAHook')]
    config = dump(run(classifier(), tmp_path, custom_hooks=hooks), tmp_path / 'run.py')
    call('train.py', config)
    ckpt = tmp_path / 'run/epoch_1.pth'
    call(
        'test.py', config, ckpt, '--work-dir', tmp_path / 'test', '--cfg-options',
        'experiment_name=averaged',
    )  # fmt: skip
    checkpoint = load_checkpoint(ckpt)
    del checkpoint['state_dict']['head.fc.bias']
    del checkpoint['ema_state_dict']['module.head.fc.bias']
    torch.save(checkpoint, ckpt)
    with pytest.raises(ValueError, match='1 missing: head.fc.bias'):
        call('test.py', config, ckpt, '--work-dir', tmp_path / 'again')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ('none.py', "config='none.py': no such file"),
        ('.', "config='.': is a folder"),
        ('run.py --resume none.pth', '--resume none.pth: no such checkpoint'),
        ('run.py --cfg-options', 'expected at least one argument'),
        ('run.py --cfg-options lr', "'lr' is no KEY=VALUE"),
        ('run.py --cfg-options modle.teacher_ckpt=t.pth', "did you mean 'model'"),
        ('run.py --work-dir run.py', "work_dir='run.py' cannot be made: .*exists"),
        ('run.py --work-dir run.py/x', "work_dir='run.py/x' cannot be made"),
        (
            'run.py --launcher pytorch',
            '--launcher pytorch: the environment has no RANK',
        ),
        ('run.py --launcher mpi', 'has no OMPI_COMM_WORLD_LOCAL_RANK; start'),
        ('run.py --auto-scale-lr', '--auto-scale-lr: run.py sets no'),
        ('run.py --cfg-options train_dataloader=None', 'sets no train_dataloader'),
        ('run.py --cfg-options model=None', 'run.py sets no model'),
        ('run.py --cfg-options env_cfg.cudnn_bench=True', "mean 'cudnn_benchmark'"),
        (
            'run.py --cfg-options auto_scale_lr.base_batchsize=4',
            "auto_scale_lr has no setting .* did you mean 'base_batch_size'",
        ),
        ('run.py --cfg-options runner_type=FlexRunner', 'FlexRunner is not in the'),
    ],
)
def test_train_says_what_is_wrong(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('RANK', raising=False)
    dump(run(classifier(), tmp_path), 'run.py')
    with pytest.raises((ValueError, KeyError, SystemExit)) as error:
        call('train.py', *arguments.split())
    said = capsys.readouterr().err if error.type is SystemExit else str(error.value)
    assert re.search(message, said)


def test_amp_needs_a_gpu(tmp_path, monkeypatch):
    config = dump(run(classifier(), tmp_path), tmp_path / 'run.py')
    monkeypatch.setattr('luminet_mm.run_checks.get_device', lambda: 'cpu')
    with pytest.raises(ValueError, match='--amp, or .* needs a GPU'):
        call('train.py', config, '--amp')


def test_more_processes_than_gpus_are_refused(tmp_path, monkeypatch):
    config = dump(run(classifier(), tmp_path), tmp_path / 'run.py')
    monkeypatch.setattr('luminet_mm.run_checks.get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '3')
    with pytest.raises(
        ValueError, match='3 processes on this machine, and only 2 GPUs'
    ):
        call('train.py', config, '--launcher', 'pytorch')


def test_no_runner_needs_the_teacher_in_testing(tmp_path):
    model = distilled(classifier(), dict(cfg_path='none.py'), 'none.pth')
    cfg = run(model, tmp_path, runner_type='FlexibleRunner', env_cfg=dict())
    ckpt = save_weights(classifier(), tmp_path / 'plain.pth')
    work_dir = tmp_path / 'test'
    config = dump(cfg, tmp_path / 'run.py')
    call('test.py', config, ckpt, '--work-dir', work_dir)
    assert list(work_dir.glob('*/*.json'))


def test_workers_live_as_long_as_the_run_and_nothing_is_compiled(tmp_path):
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth', seed=5)
    cfg = run(distilled(classifier(), classifier(), ckpt), tmp_path, compile=True)
    cfg['train_dataloader'].update(num_workers=1)
    call('train.py', dump(cfg, tmp_path / 'run.py'))
    (whole,) = (tmp_path / 'run').glob('*.py')
    whole = Config.fromfile(whole)
    assert whole.train_dataloader.persistent_workers
    assert 'persistent_workers' not in whole.test_dataloader  # it has no workers
    assert whole.compile is False
