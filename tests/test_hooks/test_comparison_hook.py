"""The line at the end of a distillation, from the logs of real trainings."""

import glob
import re

from mmengine.config import Config
from mmengine.runner import Runner
from tiny import classification_run, classifier, distilled

HOOK = dict(type='luminet_mm.ComparisonHook')


def train(model, root, name, **overrides):
    """One training with a validation; returns its config's path and its log."""
    cfg = Config(
        classification_run(model, root, root / 'work_dirs' / name, **overrides)
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
    path = root / f'{name}.py'
    cfg.dump(path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    (log,) = glob.glob(f'{runner.log_dir}/*.log')
    with open(log) as f:
        return str(path), f.read()


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
