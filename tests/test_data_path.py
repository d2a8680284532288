"""The benchmark of the data paths, run as a user runs it."""

from test_tools import tool


def test_prints_a_row_for_each_path():
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
