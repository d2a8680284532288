"""The table of a distillation."""

import torch

from luminet_mm.config import load_cfg
from luminet_mm.driver.report import format_table, measure, metrics_of
from luminet_mm.driver.training import Training

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


def test_metrics_that_some_lack_are_left_empty():
    found = dict(ROW, name='kd', model='student, kd')
    nothing = {k: v for k, v in ROW.items() if k != 'AP50'}
    assert metrics_of([nothing, found]) == ['AP', 'AP50']
    *_, alone, kd = format_table([dict(nothing, AP=0.0), found]).splitlines()
    assert [cell.strip() for cell in alone.split('|')][2:5] == ['0.0', '', '']
    assert [cell.strip() for cell in kd.split('|')][2:5] == ['37.8', '62.7', '+37.8']


def test_a_detector_that_finds_nothing(tmp_path):
    """Is tested, and has an AP of 0, though COCO's metric gives none."""
    cfg = load_cfg('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', 'config')
    cfg.dump(str(tmp_path / 'student.py'))
    training = Training('student', 'student alone', str(tmp_path), 'student')
    run = tmp_path / 'student' / 'test' / '1'
    run.mkdir(parents=True)
    weights = dict(state_dict=dict(weight=torch.zeros(2)))
    torch.save(weights, tmp_path / 'student' / 'epoch_12.pth')
    (tmp_path / 'student' / 'last_checkpoint').write_text('epoch_12.pth')
    assert [what for what, _ in training.commands()] == ['test']
    (run / '1.json').write_text('{"data_time": 0.1, "time": 0.2}')
    assert not training.commands() and not training.metrics
    assert measure(training)['AP'] == 0
