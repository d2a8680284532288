"""What is shown of trainings that run."""

import io
import threading
from types import SimpleNamespace

import pytest
from rich.console import Console

from luminet_mm.driver import Distillation, progress
from luminet_mm.driver.progress import Line, Progress

DATE = '11/26 19:33:06 - mmengine - INFO - '
TRAIN = (
    f'{DATE}Epoch(train)  [3][ 25/50]  lr: 5.7951e-05  eta: 0:01:50  time: 0.7151  '
    'data_time: 0.0175  grad_norm: 4.8530  loss: 1.2345  loss_rpn_cls: 0.1  '
    'loss_cls: 0.5  loss_bbox: 0.25  loss_luminet: 0.125'
)
VAL = f'{DATE}Epoch(val) [3][87/87]    coco/bbox_mAP: 0.4600  coco/bbox_mAP_50: 0.8240'


def test_a_line_of_a_training():
    line = Line('student', epochs=10)
    assert 'training starts' in str(line)
    assert not line.read('loading annotations into memory...')
    assert line.read(TRAIN)
    assert 'epoch 3/10' in str(line) and '0:01:50 to go' in str(line)
    # the sum and what is distilled, of many
    assert 'loss 1.234 loss_cls 0.5 loss_bbox 0.25 loss_luminet 0.125' in str(line)
    assert line.done == pytest.approx(0.25)
    assert line.read(VAL)
    assert 'validation, 87/87' in str(line) and 'coco/bbox_mAP 0.4600' in str(line)
    line.read(TRAIN)
    assert 'epoch 3/10' in str(line) and 'coco/bbox_mAP 0.4600' in str(line)


def test_a_training_of_iterations():
    line = Line('student')
    line.read(
        f'{DATE}Iter(train) [ 500/2000]  lr: 1e-2  eta: 1 day, 0:00:01  loss: nan'
    )
    assert 'iteration 500/2000' in str(line) and 'loss nan' in str(line)
    assert '1 day, 0:00:01 to go' in str(line)
    assert line.done == 0.25


class Listener(io.StringIO):
    """A file that tells when a word was written to it twice."""

    def __init__(self, word):
        super().__init__()
        self.word, self.heard_twice = word, threading.Event()

    def write(self, text):
        super().write(text)
        if self.getvalue().count(self.word) >= 2:
            self.heard_twice.set()


def test_it_is_never_silent(monkeypatch):
    """Where lines cannot be overwritten the last one comes again."""
    monkeypatch.setattr(progress, 'PATIENCE', 0)
    shown = Progress()
    listener = Listener('training starts')
    shown.console = Console(file=listener, force_terminal=False)
    with shown:
        shown.lines['student'] = Line('student')
        assert listener.heard_twice.wait(60)


def test_lines_wait_for_each_other(monkeypatch):
    """Of a training that logs many there is one each half minute."""
    now = [1000.0]
    monkeypatch.setattr(progress, 'time', SimpleNamespace(time=lambda: now[0]))
    shown = Progress()
    shown.console = Console(file=io.StringIO(), force_terminal=False)
    shown.lines['student'] = Line('student')
    for _ in range(61):
        shown.update('student')
        now[0] += 1
    assert shown.console.file.getvalue().count('training starts') == 3


def test_on_a_terminal_there_is_one_line():
    shown = Progress(to_come=lambda: 65)
    shown.console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with shown:
        shown.lines['student'] = line = Line('student', 10)
        for _ in range(5):
            line.read(TRAIN)
            shown.update('student')
    text = shown.console.file.getvalue()
    assert 'epoch 3/10' in text and 'whole: 0:01:05 to go' in text


def test_what_is_to_come_goes_by_what_runs(tmp_path):
    distillation = Distillation('big.py', 'small.py', jobs=2, work_dir=str(tmp_path))
    assert distillation._to_come() is None
    distillation._iterations = dict(teacher=100, student=100, kd=200)
    lines = distillation.progress.lines
    for name in ('teacher', 'student'):
        lines[name] = Line(name)
        lines[name].start -= 50  # seconds, for 50 iterations after it was resumed
        lines[name].begun, lines[name].done = 0.25, 0.75
    # 25 + 25 + 200 iterations of a second, two at a time
    assert distillation._to_come() == pytest.approx(125, abs=1)
