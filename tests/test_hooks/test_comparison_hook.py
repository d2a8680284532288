"""The line at the end of a distillation, from the logs of real trainings."""

import glob
import re

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from tiny import classification_run, classifier, distilled, save_weights

from luminet_mm.hooks import ComparisonHook

HOOK = dict(type='luminet_mm.ComparisonHook')


def run_cfg(model, root, name, **overrides):
    """Config of one training with a validation."""
    cfg = Config(
        classification_run(model, root, root / 'work_dirs' / name, **overrides),
        format_python_code=False,  # which fails where a class is named
    )
    cfg.merge_from_dict(
        dict(
            val_dataloader=dict(
                batch_size=8,
                dataset=cfg.train_dataloader.dataset,
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            val_cfg=dict(),
            val_evaluator=dict(type='Accuracy', topk=(1, 2)),
            log_level='INFO',
        )
    )
    return cfg


def run(cfg):
    """Train; what the log says."""
    runner = Runner.from_cfg(cfg)
    runner.train()
    (log,) = glob.glob(f'{glob.escape(runner.log_dir)}/*.log')
    with open(log) as f:
        return f.read()


def train(model, root, name, **overrides):
    """One training with a validation; returns its config's path and its log."""
    cfg = run_cfg(model, root, name, **overrides)
    path = root / f'{name}.py'
    cfg.dump(path)
    return str(path), run(cfg)


def last_top1(log):
    return float(re.findall(r'accuracy/top1: ([\d.]+)', log)[-1])


def test_compares_with_both_origins(tmp_path):
    teacher, teacher_log = train(classifier(), tmp_path, 'teacher', max_epochs=3)
    student, student_log = train(
        classifier(), tmp_path, 'student', custom_hooks=[HOOK], randomness=dict(seed=5)
    )
    assert 'distilled student' not in student_log
    model = distilled(
        dict(cfg_path=student),
        dict(cfg_path=teacher),
        str(tmp_path / 'work_dirs' / 'teacher' / 'epoch_3.pth'),
    )
    _, log = train(model, tmp_path, 'luminet', custom_hooks=[HOOK])
    line = log.strip().splitlines()[-1]
    alone, taught_by = last_top1(student_log), last_top1(teacher_log)
    value = float(re.search(r'distilled student ([\d.]+) \(', line).group(1))
    assert line.endswith(
        f'accuracy/top1: student alone {alone:.4g}, teacher {taught_by:.4g}, '
        f'distilled student {value:.4g} ({value - alone:+.3g} over alone)'
    )
    assert value == last_top1(log.replace(line, ''))

    elsewhere = dict(HOOK, student_dir=str(tmp_path / 'nowhere'))
    _, log = train(model, tmp_path, 'again', custom_hooks=[elsewhere])
    assert 'accuracy/top1: teacher' in log
    assert 'alone' not in log.split('accuracy/top1: teacher')[1]


def test_says_nothing_without_results(tmp_path):
    teacher, _ = train(classifier(), tmp_path, 'teacher')
    (tmp_path / 'bare').mkdir()
    ckpt = tmp_path / 'bare' / 'teacher.pth'
    (tmp_path / 'work_dirs' / 'teacher' / 'epoch_2.pth').rename(ckpt)
    model = distilled(classifier(), dict(cfg_path=teacher), str(ckpt))
    _, log = train(model, tmp_path, 'luminet', custom_hooks=[HOOK])
    assert 'distilled student' not in log


class OwnClassifier(ImageClassifier):
    """Registered nowhere: a config may name a class itself."""


def test_survives_what_it_finds(tmp_path):
    """A student named by its class, a teacher in a folder of any name, whose log a
    kill cut off and whose metric is no number; work dirs with a slash at the end."""
    folder = tmp_path / 'a [teacher]*'
    log = folder / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('{"accuracy/top1": NaN, "step": 1}\n{"accuracy/top1": 5')
    ckpt = save_weights(classifier(), folder / 'teacher.pth')
    student = dict(classifier(), type=OwnClassifier)
    model = distilled(student, dict(classifier(), type=OwnClassifier), ckpt)
    cfg = run_cfg(model, tmp_path, 'luminet', custom_hooks=[HOOK])
    cfg.work_dir += '/'
    said = run(cfg)
    assert 'Hook is off' not in said
    assert re.search(r'accuracy/top1: teacher nan, distilled student [\d.]+\n', said)
    assert 'student       OwnClassifier (OwnClassifier)' in said


def test_never_stops_a_run(monkeypatch, tmp_path):
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    monkeypatch.setattr(
        'luminet_mm.hooks.comparison_hook.read_last_validation',
        lambda work_dir: (tmp_path / 'none').read_text(),
    )
    model = distilled(classifier(), classifier(), ckpt)
    said = run(run_cfg(model, tmp_path, 'luminet', custom_hooks=[HOOK]))
    assert said.count('ComparisonHook is off for the rest of this run') == 1
    assert 'FileNotFoundError' in said


def test_refuses_a_wrong_folder():
    with pytest.raises(TypeError, match=r'ComparisonHook.student_dir=\[1\] must be'):
        ComparisonHook(student_dir=[1])
