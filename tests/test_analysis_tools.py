"""The tools that show what a training did."""

import json
import re
import runpy
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_tools import ROOT, dump
from tiny import (
    cascade_rcnn,
    classification_run,
    classifier,
    detection_run,
    distilled,
    faster_rcnn,
    save_weights,
)

from luminet_mm.visualization.detections import GAP, HEIGHT, TITLE_HEIGHT


@pytest.fixture
def tool(monkeypatch, capsys):
    """Runs a tool here, for an import of everything takes long; what it printed."""

    def run(name, *arguments):
        path = f'{ROOT}/tools/analysis_tools/{name}'
        monkeypatch.setattr(sys, 'argv', [path, *map(str, arguments)])
        capsys.readouterr()
        runpy.run_path(path, run_name='__main__')
        return capsys.readouterr().out

    return run


def halves(path):
    """Before and after."""
    picture = cv2.imread(str(path))
    middle = len(picture) // 2
    return picture[:middle], picture[middle:]


def matrices(half):
    """Without the title above and the statistics below."""
    return half[84 : len(half) // 2]


def teachers(half):
    """The matrix at the left."""
    return matrices(half)[:, : half.shape[1] // 4]


def test_perception_before_and_after(tool, tmp_path):
    teacher = save_weights(classifier(), tmp_path / 'teacher.pth', seed=5)
    student = save_weights(classifier(), tmp_path / 'student.pth', seed=6)
    model = distilled(classifier(), classifier(), teacher)
    # whose connectors a student that was trained alone has not
    model['distill_losses']['loss_ofd'] = dict(type='luminet_mm.OFDLoss')
    cfg = classification_run(model, tmp_path, tmp_path / 'run')
    config = dump(cfg, tmp_path / 'distillation.py')
    drawn = {}
    for name, before in (
        ('untrained', []),
        ('same', ['--before', student]),
    ):
        out = tmp_path / f'{name}.png'
        options = [*before, '--batch-size', 8, '--out', out]
        log = tool('draw_perception.py', config, student, *options)
        assert f'perception: {out}' in log
        drawn[name] = halves(out)
    same_before, same_after = drawn['same']
    assert np.array_equal(matrices(same_before), matrices(same_after))
    # trained or not, the teacher and the trained student are the same
    before, after = drawn['untrained']
    assert np.array_equal(matrices(after), matrices(same_after))
    assert np.array_equal(teachers(before), teachers(after))
    assert not np.array_equal(matrices(before), matrices(after))
    # the same picture went to the visualizer's backends
    stored = list((tmp_path / 'run').glob('*/vis_data/vis_image/perception_0.png'))
    assert len(stored) >= 1

    plain = dump(
        classification_run(classifier(), tmp_path, tmp_path / 'x'), tmp_path / 'p.py'
    )
    with pytest.raises(SystemExit, match='only a LogitDistiller has a teacher'):
        tool('draw_perception.py', plain, student)


def test_perception_on_the_same_rois(tool, tmp_path):
    """Of a detector, too; but not where a student's logits are not a teacher's."""
    cfg = faster_rcnn()
    teacher = save_weights(cfg, tmp_path / 'teacher.pth', seed=5)
    student = save_weights(cfg, tmp_path / 'student.pth', seed=6)
    run = detection_run(distilled(cfg, cfg, teacher), tmp_path, tmp_path / 'run')
    batches = dict(type='AspectRatioBatchSampler')  # as all configs of mmdet
    run['train_dataloader']['batch_sampler'] = batches
    config = dump(run, tmp_path / 'distillation.py')
    out = tmp_path / 'out.png'
    tool('draw_perception.py', config, student, '--out', out)
    before, after = halves(out)
    assert np.array_equal(teachers(before), teachers(after))
    assert not np.array_equal(matrices(before), matrices(after))

    cfg = cascade_rcnn()
    student = save_weights(cfg, tmp_path / 'cascade.pth', seed=6)
    stages = dict(type='TwoStageSource', student_stage=1)
    model = distilled(cfg, cfg, student, source=stages)
    config = dump(detection_run(model, tmp_path, tmp_path / 'run'), tmp_path / 'c.py')
    with pytest.raises(SystemExit, match='student_stage and teacher_stage .* differ'):
        tool('draw_perception.py', config, student)


def test_detections_of_all(tool, tmp_path):
    cfg = faster_rcnn(test_cfg=dict(rcnn=dict(score_thr=0.0, max_per_img=5)))
    ckpts = {
        name: save_weights(cfg, tmp_path / f'{name}.pth', seed=seed)
        for seed, name in enumerate(('teacher', 'distilled'))
    }
    model = distilled(cfg, cfg, ckpts['teacher'])
    # whose generators a student that was trained alone has not
    model['distill_losses']['loss_mgd'] = dict(type='luminet_mm.MGDLoss')
    run = detection_run(model, tmp_path, tmp_path / 'run')
    config = dump(run, tmp_path / 'distillation.py')

    def columns(*options):
        out = tmp_path / 'out.png'
        tool(
            'draw_detections.py', config, *options, '--out', out,
            '--num-images', 2, '--score-thr', 0.0,
        )  # fmt: skip
        sheet = cv2.imread(str(out))[TITLE_HEIGHT:]
        width = round(128 * HEIGHT / 96) + GAP  # of the wider image
        assert sheet.shape[0] == 2 * (HEIGHT + GAP)
        assert sheet.shape[1] % width == 0
        return np.split(sheet, sheet.shape[1] // width, axis=1)

    distinct = columns(ckpts['distilled'])
    assert len(distinct) == 3
    for index, one in enumerate(distinct):
        assert not any(np.array_equal(one, other) for other in distinct[:index])
    # the same weights find the same wherever they are
    truth, teacher, student = distinct
    swapped = columns(ckpts['teacher'], '--student-ckpt', ckpts['distilled'])
    for one, other in zip(swapped, (truth, teacher, student, teacher)):
        assert np.array_equal(one, other)
    assert list((tmp_path / 'run').glob('*/vis_data/vis_image/detections_0.png'))
    with pytest.raises(SystemExit, match='bad.pth is not of the model'):
        bad = save_weights(faster_rcnn(5), tmp_path / 'bad.pth')
        columns(bad)


@pytest.mark.parametrize(
    ('name', 'option', 'value'),
    [
        ('draw_perception.py', '--max-rows', 0),
        ('draw_perception.py', '--batch-size', -1),
        ('draw_detections.py', '--num-images', 0),
    ],
)
def test_refuses_numbers_of_nothing(name, option, value, tool, capsys):
    with pytest.raises(SystemExit):
        tool(name, 'config.py', 'checkpoint.pth', option, value)
    assert option in capsys.readouterr().err.splitlines()[-1]


def log_validations(work_dir, validations, unit='iter'):
    """Scalars as the runner writes them: COCO's metrics of each iteration."""
    path = work_dir / '20260101_000000' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    lines = [
        {'loss': 1.0, 'iter': 5, 'step': 5, **({'epoch': 1} if unit == 'epoch' else {})}
    ]
    for step, value in validations.items():
        lines.append(
            {
                'coco/bbox_mAP': value,
                'coco/bbox_mAP_50': 2 * value,
                'coco/bbox_mAP_75': value / 2,
                'step': step,
            }
        )
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def test_compares_seeds_of_detectors(tool, tmp_path):
    for seed, values in enumerate(((0.301, 0.312), (0.305, 0.309))):
        for name, value in zip(('alone', 'luminet'), values):
            log_validations(tmp_path / f'seed{seed}' / name, {50: 0.1, 100: value})
    compare = ['compare_seeds.py', tmp_path, '--baseline', 'alone']
    names = [f'coco/bbox_mAP{suffix}' for suffix in ('', '_50', '_75')]
    curve = tmp_path / 'curve.svg'
    table = tool(*compare, '--metrics', *names, '--curve', curve).strip().splitlines()
    assert table == [
        '| training | seeds | iteration | coco/bbox_mAP | coco/bbox_mAP_50 | '
        'coco/bbox_mAP_75 | gain |',
        '|---|---|---|---|---|---|---|',
        '| alone | 2 | 100 | 0.3030 ± 0.0028 | 0.6060 ± 0.0057 | 0.1515 ± 0.0014 | '
        '+0.0000 |',
        '| luminet | 2 | 100 | 0.3105 ± 0.0021 | 0.6210 ± 0.0042 | 0.1552 ± 0.0011 | '
        '+0.0075 |',
    ]
    assert '</svg>' in curve.read_text()
    with pytest.raises(SystemExit, match=r"seed0/alone has only \['coco/bbox_mAP', "):
        tool(*compare)


def test_compares_seeds_whatever_became_of_them(tool, capsys, tmp_path):
    """Killed within a line, diverged, never started; in a folder of any name."""
    root = tmp_path / 'all [3] seeds*'
    for seed, value in enumerate((0.2, 0.3, 0.4)):
        log_validations(root / f'seed{seed}' / 'a b', {1: 0.1, 2: value})
    logs = sorted(root.glob('*/*/*/vis_data/scalars.json'))
    logs[0].write_text(logs[0].read_text()[:-5])  # its last validation is the first
    (root / 'seed3' / 'a b' / '20260101_000000' / 'vis_data').mkdir(parents=True)
    (root / 'seed3' / 'a b' / '20260101_000000' / 'vis_data/scalars.json').touch()
    curve = tmp_path / 'c.svg'
    compare = ['compare_seeds.py', f'{root}/', '--metrics', 'coco/bbox_mAP']
    table = tool(*compare, '--curve', curve)
    assert table.splitlines()[2] == '| a b | 3 | 1, 2 | 0.2667 ± 0.1528 |  |'
    assert '</svg>' in curve.read_text()
    logs[0].write_text('{"coco/bbox_mAP": NaN, "step": 1}\n')
    table = tool(*compare, '--curve', curve, '--baseline', 'a b')
    assert table.splitlines()[2] == '| a b | 3 | 1, 2 | nan ± nan | +nan |'
    logs[0].write_text('{"coco/bbox_mAP_50": 0.5, "step": 1}\n')
    with pytest.raises(SystemExit, match=r"seed0/a b has only \['coco/bbox_mAP_50'\]"):
        tool(*compare)


def test_compares_tests(tool, tmp_path):
    """Of two tests of a work dir the later one, also if two processes wrote its file at
    once; validations are not looked at."""
    for seed, value in enumerate((0.2, 0.3)):
        work_dir = tmp_path / f'seed{seed}' / 'luminet'
        log_validations(work_dir, {1: 0.9})
        for start, logged in (('20260102_000000', value), ('20260101_000000', 0.8)):
            (work_dir / start).mkdir(exist_ok=True)
            metrics = {'coco/bbox_mAP': logged, 'data_time': 0.1}
            (work_dir / start / f'{start}.json').write_text(json.dumps(metrics) + '}')
    table = tool('compare_seeds.py', tmp_path, '--test', '--metrics', 'coco/bbox_mAP')
    assert table.splitlines()[2] == '| luminet | 2 | last | 0.2500 ± 0.0707 |  |'
    with pytest.raises(SystemExit, match='no tested training'):
        tool('compare_seeds.py', tmp_path, '--test', '--baseline', 'alone')


def test_draws_curves_of_any_work_dirs(tool, capsys, tmp_path):
    for name, values in (('a/run', {1: 0.1, 2: 0.2}), ('b/run', {1: 0.2, 2: 0.3})):
        log_validations(tmp_path / name, values)
    draw = ['draw_curves.py', tmp_path / 'curves.png']
    dirs = [tmp_path / 'a/run', tmp_path / 'b/run']
    said = tool(*draw, *dirs, '--names', 'one', 'two')
    assert said == f'curves: {tmp_path}/curves.png\n'
    one = cv2.imread(str(tmp_path / 'curves.png'))
    tool(*draw, dirs[0], '--metric', 'coco/bbox_mAP_50')
    assert not np.array_equal(one, cv2.imread(str(tmp_path / 'curves.png')))
    with pytest.raises(SystemExit, match="no validation with 'coco/AP', only"):
        tool(*draw, dirs[0], '--metric', 'coco/AP')
    with pytest.raises(SystemExit, match='none.* has no validation with'):
        tool(*draw, tmp_path / 'none')
    with pytest.raises(SystemExit):
        tool(*draw, *dirs)  # both are called run
    assert 'name each of' in capsys.readouterr().err
    log_validations(tmp_path / 'c', {1: 0.5}, 'epoch')
    with pytest.raises(SystemExit, match='some of the trainings count epochs'):
        tool(*draw, dirs[0], tmp_path / 'c')


def test_packed_logs_say_the_same(tool, tmp_path):
    """Two studies, one after the other, into one file; again, and nothing changes."""
    root, packed = tmp_path / 'runs', tmp_path / 'study.zip'
    for seed, value in enumerate((0.301, 0.305)):
        log_validations(root / f'seed{seed}' / 'alone', {1: 0.1, 2: value}, 'epoch')
    alone = root / 'seed0' / 'alone' / '20260101_000000'
    (alone / '20260101_000000.json').write_text('{"coco/bbox_mAP": 0.3}}')
    (alone / '20260101_000000.log').write_text('MMEngine: 0.10.7\nConfig:\nlong')
    (alone / 'vis_data' / 'big.bin').touch()
    (root / 'seed0' / 'alone' / 'epoch_2.pth').touch()
    (root / 'seed0' / 'alone' / 'alone.py').write_text(
        "data_root = '/home/me/data/mine/'\nbase = './me/x.py'\nckpt = '/a b/it.pth'\n"
    )
    tool('pack_logs.py', root, packed)
    log_validations(root / 'seed1' / 'kd', {2: 0.4}, 'epoch')
    log_validations(root / 'seed1' / 'other', {2: 0.5}, 'epoch')
    said = tool('pack_logs.py', root, packed, '--names', 'kd')
    assert said == f'{packed}: 1 trainings from {root}: seed1/kd\n'
    once = packed.read_bytes()
    tool('pack_logs.py', packed, packed)
    assert packed.read_bytes() == once

    (root / 'seed1' / 'other').rename(tmp_path / 'other')
    for options in (['--baseline', 'alone'], ['--test']):
        compare = ['--metrics', 'coco/bbox_mAP', *options]
        table = tool('compare_seeds.py', root, *compare)
        assert table == tool('compare_seeds.py', packed, *compare)
    assert '| alone | 1 | last | 0.3000 |  |' in table
    with zipfile.ZipFile(packed) as file:
        files = {name: file.read(name).decode() for name in file.namelist()}
    start = 'seed0/alone/20260101_000000'
    assert sorted(files)[:4] == [
        f'{start}/20260101_000000.json',
        f'{start}/20260101_000000.log',
        f'{start}/vis_data/scalars.json',
        'seed0/alone/alone.py',
    ]
    assert files[f'{start}/20260101_000000.log'] == 'MMEngine: 0.10.7\n'
    assert files['seed0/alone/alone.py'] == (
        "data_root = '.../mine/'\nbase = './me/x.py'\nckpt = '.../it.pth'\n"
    )


def test_refuses_to_pack_nothing_or_over_anything(tool, tmp_path):
    log_validations(tmp_path / 'runs' / 'seed0' / 'alone', {1: 0.1})
    (tmp_path / 'mine.txt').write_text('mine')
    with pytest.raises(SystemExit, match='no zip file and is not overwritten'):
        tool('pack_logs.py', tmp_path / 'runs', tmp_path / 'mine.txt')
    assert (tmp_path / 'mine.txt').read_text() == 'mine'
    with pytest.raises(SystemExit, match=r"no log of \['kd'\]"):
        tool('pack_logs.py', tmp_path / 'runs', tmp_path / 'a.zip', '--names', 'kd')
    with pytest.raises(SystemExit, match='no such folder'):
        tool('pack_logs.py', tmp_path / 'none', tmp_path / 'a.zip')
    assert not (tmp_path / 'a.zip').exists()


@pytest.mark.parametrize(
    ('page', 'commands'),
    [
        (
            'detection',
            [
                'bccd.zip --baseline frcnn_quarter_bccd',
                'bccd.zip --baseline frcnn_quarter_bccd --test',
                'bccd.zip --baseline luminet',
                'coco128.zip --baseline frcnn_quarter_coco128 --test',
                'coco128_fit.zip --baseline frcnn_quarter_coco128 --test',
            ],
        ),
        (
            'statistics',
            [
                'bccd.zip --baseline luminet',
                'bccd.zip --baseline luminet --test',
                'tinyimagenet.zip --baseline stats_64',
            ],
        ),
        (
            'features',
            [
                'bccd.zip --baseline frcnn_quarter_bccd',
                'bccd.zip --baseline frcnn_quarter_bccd --test',
                'bccd_seeds.zip --baseline frcnn_quarter_bccd',
                'bccd_seeds.zip --baseline frcnn_quarter_bccd --test',
            ],
        ),
    ],
)
def test_tables_of_the_pages_are_those_of_their_logs(page, commands, tool, tmp_path):
    """To the last digit, from the packed logs beside them."""
    results = Path(ROOT, 'docs', 'results')
    coco = [f'coco/bbox_mAP{suffix}' for suffix in ('', '_50', '_75')]
    computed = set()
    for command in commands:
        study, *options = command.split()
        if study != 'tinyimagenet.zip':
            options += ['--metrics', *coco]
        three_seeds = tmp_path / study  # some tables are of seeds 0 to 2 alone
        with zipfile.ZipFile(results / page / study) as whole:
            with zipfile.ZipFile(three_seeds, 'w') as few:
                for name in whole.namelist():
                    if name < 'seed3':
                        few.writestr(name, whole.read(name))
        for root in (results / page / study, three_seeds):
            computed.update(tool('compare_seeds.py', root, *options).splitlines())
    text = (results / f'{page}.md').read_text()
    tables = re.findall(r'(?m)^\| training \| seeds \|.*\n\|-.*\n((?:\|.*\n)+)', text)
    printed = {row for table in tables for row in table.splitlines()}
    assert len(printed) > 5
    assert printed <= computed
