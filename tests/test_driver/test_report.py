"""The table of a distillation."""

from luminet_mm.driver.report import format_table, metrics_of

ROW = dict(
    name='student',
    model='student alone',
    params=720000,
    megabytes=2.9,
    seconds=130,
    checkpoint='',
    config='',
    AP=37.84,
    AP50=62.7,
)


def test_the_table_is_aligned_and_has_the_gain():
    rows = [
        dict(ROW, name='teacher', model='teacher', AP=53.5),
        ROW,
        dict(ROW, name='kd', model='student, kd', AP=40.0),
    ]
    lines = format_table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    header, _, teacher, alone, kd = [
        [cell.strip() for cell in line.strip('|').split('|')] for line in lines
    ]
    assert header == ['', 'AP', 'AP50', 'gain', 'parameters', 'weights', 'training']
    assert teacher[1] == '53.5' and teacher[3] == alone[3] == ''
    assert kd[3] == '+2.2' and kd[4] == '0.72 M' and kd[6] == '2.2 min'


def test_without_the_student_alone_there_is_no_gain():
    table = format_table([dict(ROW, name='kd', seconds=0)])
    assert 'gain' not in table and 'min' not in table


def test_metrics_that_some_lack_are_left_out():
    assert metrics_of([ROW, {k: v for k, v in ROW.items() if k != 'AP50'}]) == ['AP']
