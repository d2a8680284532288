"""The benchmarks, run as a user runs them."""

import os.path as osp

from test_tools import ROOT, tool


def test_data_paths_have_a_row_each():
    arguments = ('--num-images', 96, '--batch-size', 32, '--runs', 2)
    *_, header, first, second, third, fourth = tool(
        'benchmarks/data_path.py', *arguments, '--workers', 0, 1
    ).splitlines()
    assert header.split()[1:] == ['images/s', 'slowest', 'fastest', 'ms/batch', 'ratio']
    assert first.startswith('mmpretrain, 0 workers')
    assert first.endswith(' 1.00')
    assert second.startswith('mmpretrain, 1 workers')
    assert third.startswith('luminet_mm, 0 workers')
    assert fourth.startswith('luminet_mm, 1 workers')
    for row in (first, second, third, fourth):
        median, slowest, fastest, milliseconds, ratio = map(float, row.split()[3:])
        assert 0 < slowest <= median <= fastest
        assert abs(milliseconds * median / 32e3 - 1) < 0.02
        assert ratio > 0


def test_methods_have_a_row_each():
    configs = [
        osp.join(ROOT, 'configs', 'cifar100', f'{name}.py')
        for name in ('resnet20', 'resnet56_resnet20_luminet', 'resnet56_resnet20_dml')
    ]
    small = ['--batch-size', 4, '--image-size', 8, '--steps', 1, '--runs', 1]
    table = tool('benchmarks/methods.py', *configs, *small).splitlines()[-3:]
    cells = [[cell.strip() for cell in row.split('|')[1:-1]] for row in table]
    assert [row[4:] for row in cells] == [
        ['0.28 M', '0.00 M'],
        ['0.28 M', '0.00 M'],
        ['0.28 M', '0.86 M'],
    ]
    assert float(cells[0][3]) == 1
    assert all(float(row[1]) > 0 for row in cells)
