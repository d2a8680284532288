"""The benchmarks, run as a user runs them."""

import json
import math
import os
import os.path as osp
import re
import shlex
import shutil
import subprocess
from importlib import import_module

import pytest
import torch
from test_tools import ROOT, tool


def table(printed):
    """Cells of the tables in what a program printed, by rows."""
    rows = [row for row in printed.splitlines() if row.startswith('| ')]
    return [[cell.strip() for cell in row.split('|')[1:-1]] for row in rows]


def test_data_paths_have_a_row_each():
    arguments = ('--num-images', 96, '--batch-size', 32, '--runs', 2)
    printed = tool('benchmarks/data_path.py', *arguments, '--workers', 0, 1)
    cells = table(printed)
    assert cells.pop(0)[5:] == ['images/s']
    assert [row[0] for row in cells] == [
        'mmpretrain, 0 workers',
        'mmpretrain, 1 workers',
        'luminet_mm, 0 workers',
        'luminet_mm, 1 workers',
    ]
    assert cells[0][4] == '1.00'
    for _, *figures in cells:
        median, fastest, slowest, _, rate = map(float, figures)
        assert 0 < fastest <= median <= slowest
        assert abs(median * rate / 96e3 - 1) < 0.02


def test_methods_have_a_row_each():
    configs = [
        osp.join(ROOT, 'configs', 'cifar100', f'{name}.py')
        for name in ('resnet20', 'resnet56_resnet20_dml')
    ]
    small = ['--batch-size', 4, '--size', 8, 8, '--steps', 1, '--runs', 1]
    _, *cells = table(tool('benchmarks/methods.py', *configs, *small, '--memory'))
    assert [row[5:7] for row in cells] == [
        ['0.28 M', '0.00 M'],
        ['0.28 M', '0.86 M'],
    ]
    assert float(cells[0][4]) == 1
    assert all(float(row[1]) > 0 for row in cells)
    assert all(float(row[7]) >= 0 for row in cells)


def test_losses_have_a_table_for_each_shape(tmp_path):
    arguments = ('--shapes', '4x3', '16x10', '--runs', 2, '--json', tmp_path / 'f.json')
    printed = tool('benchmarks/loss.py', *arguments)
    results = json.loads((tmp_path / 'f.json').read_text())
    assert results['environment']['torch'] == torch.__version__.split('+')[0]
    for shape, times in results['milliseconds'].items():
        assert f'{shape}:' in printed
        assert {'LuminetLoss', 'textbook', 'mmrazor.KLDivergence'} <= set(times)
        assert all(len(runs) == 2 and min(runs) > 0 for runs in times.values())
    rows = {row[0]: row[1:] for row in table(printed)[: len(times) + 1]}
    razor, textbook = rows['mmrazor.KLDivergence'], rows['textbook']
    assert razor[3] == textbook[4] == '1.00'
    ratio = float(textbook[0]) / float(razor[0])
    assert abs(float(textbook[3]) / ratio - 1) < 0.05


def test_detectors_with_a_teacher_that_sees_more_or_two_of_them():
    folder = osp.join(ROOT, 'tools', 'benchmarks', 'configs')
    configs = [osp.join(folder, name) for name in sorted(os.listdir(folder))]
    small = ['--batch-size', 1, '--size', 64, 96, '--steps', 1, '--runs', 1]
    _, *cells = table(tool('benchmarks/methods.py', *configs, *small))
    assert [row[0] for row in cells] == [
        'frcnn_r101_r18_luminet_2x',
        'frcnn_r101_r50_r18_luminet',
    ]
    assert all(float(row[1]) > 0 for row in cells)


def test_starting_has_a_row_fresh_and_resumed():
    header, *rows = table(tool('benchmarks/startup.py', BCCD, *SMALL))
    parts = ['imports', 'config', 'models', 'resumed', 'first step']
    assert header[5:] == [*parts, 'peak MiB']
    assert [row[0] for row in rows] == [
        'frcnn_r18_quarter_luminet_bccd',
        'frcnn_r18_quarter_luminet_bccd, resumed',
    ]
    fresh, resumed = ([float(cell) for cell in row[1:]] for row in rows)
    assert fresh[7] < resumed[7]
    for row in (fresh, resumed):
        assert abs(sum(row[4:9]) - row[0]) < 0.05
        assert row[9] > 100


SMALL = ['--size', 64, 96, '--runs', 1]
BCCD = osp.join(ROOT, 'configs', 'bccd', 'frcnn_r18_quarter_luminet_bccd.py')

TEACHER, ALONE = (
    osp.join(ROOT, 'configs', 'bccd', f'frcnn_{name}_bccd.py')
    for name in ('r18', 'quarter')
)


def test_teachers_predict_the_same():
    header, *rows = table(tool('benchmarks/teacher.py', BCCD, *SMALL))
    assert [row[0] for row in rows] == ['eval()', 'folded', 'channels last']
    assert header[5] == 'difference'
    assert float(rows[0][5]) == 0
    assert all(0 < float(row[5]) < 1e-4 for row in rows[1:])


def test_steps_have_a_row_each():
    options = ['--config', BCCD, *SMALL]
    _, *rows = table(tool('benchmarks/step.py', *options))
    assert [row[0] for row in rows] == [
        'teacher alone',
        'student alone',
        'floor',
        'luminet_mm',
        "teacher's loss",
        "student's RoI head twice",
        'mmrazor.SingleTeacherDistill',
    ]
    assert rows[2][4] == '1.00'
    # in a process of its own: MiB
    peaks = json.loads(tool('benchmarks/step.py', *options, '--only', 'luminet_mm'))
    assert peaks['luminet_mm'] > 1
    profile = tool('benchmarks/step.py', *options, '--profile', 'luminet_mm')
    assert 'aten::convolution_backward' in profile


def test_scaling_knows_its_exponent(tmp_path):
    sizes = ['--samples', 8, 16, '--classes', 4, 8, '--images', 1, 2, '--processes', 2]
    teachers = ['--config', BCCD, '--teachers', TEACHER, ALONE]
    plot = tmp_path / 'plot.png'
    options = [*sizes, *teachers, *SMALL, '--plot', plot]
    printed = tool('benchmarks/scaling.py', *options)
    names = [row[0] for row in table(printed) if row[0]]
    shapes = ['8 x 81', '16 x 81', '2048 x 4', '2048 x 8', '1 images', '2 images']
    assert names == [
        *shapes,
        'frcnn_r18_bccd',
        'frcnn_quarter_bccd',
        '2 own',
        '2 synced',
    ]
    first, second = (float(row[1]) for row in table(printed)[1:3])
    shown, *_ = re.findall('^exponent of time (.*?),', printed, re.MULTILINE)
    assert abs(float(shown) - math.log2(second / first)) < 0.02
    assert plot.stat().st_size


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_all_is_run_with_options_that_there_are(device, tmp_path, monkeypatch):
    """Every line, with a Python that notes what it is asked for and prints a line."""
    script = tmp_path / 'tools' / 'benchmarks' / 'run_all.sh'
    script.parent.mkdir(parents=True)
    folder = osp.join(ROOT, 'tools', 'benchmarks')
    shutil.copy(osp.join(folder, 'run_all.sh'), script)
    for name in ('configs', 'tools/benchmarks/configs'):
        (tmp_path / name).symlink_to(osp.join(ROOT, name))
    (tmp_path / 'docs').mkdir()
    stub = tmp_path / 'bin' / 'python'
    stub.parent.mkdir()
    stub.write_text(
        '#!/bin/bash\nprintf "%q " "$@" >>"$ASKED"\necho >>"$ASKED"\necho "## $1"'
    )
    stub.chmod(0o755)
    env = dict(os.environ, ASKED=str(tmp_path / 'asked'))
    env['PATH'] = f'{stub.parent}{os.pathsep}{env["PATH"]}'
    subprocess.run([script, device], check=True, env=env)
    page = (
        tmp_path / 'docs' / dict(cpu='benchmarks.md', cuda='benchmarks_cuda.md')[device]
    )
    asked = [
        shlex.split(line) for line in (tmp_path / 'asked').read_text().splitlines()
    ]
    assert page.read_text().count('\n## ') == len(asked)
    assert {osp.basename(program) for program, *_ in asked} >= {
        f'{name}.py'
        for name in ['loss', 'scaling', 'teacher', 'step', 'methods', 'startup']
    }
    monkeypatch.syspath_prepend(folder)
    files = set()
    for program, *options in asked:
        monkeypatch.setattr('sys.argv', [program, *options])
        args = import_module(osp.splitext(osp.basename(program))[0]).parse_args()
        assert args.device == device
        assert args.json not in files  # each keeps its figures
        files.add(args.json)
        configs = [*getattr(args, 'configs', []), getattr(args, 'config', None)]
        assert all(osp.isfile(osp.join(ROOT, each)) for each in configs if each)
