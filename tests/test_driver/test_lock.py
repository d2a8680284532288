"""Two distillations do not share a work dir."""

import subprocess
import sys
from unittest import mock

import pytest
from data_sets import write_images

from luminet_mm.driver import Distillation
from luminet_mm.driver.lock import locked
from luminet_mm.driver.training import Training

SMALL = 'luminet_mm::cifar100/resnet8x4.py'


def test_a_second_distillation_waits_for_the_first(tmp_path):
    planned = Distillation(
        SMALL,
        SMALL,
        images=write_images(tmp_path / 'data'),
        work_dir=str(tmp_path / 'work'),
        epochs=1,
    )
    planned.plan()
    with locked(planned.work_dir), pytest.raises(
        ValueError, match='--work-dir .*work: another distillation runs there'
    ):
        planned.run()
    with locked(planned.work_dir):  # free again
        pass


def test_a_training_keeps_the_lock_of_a_killed_distillation(tmp_path):
    training = Training('kd', 'student, kd', str(tmp_path), 'student')
    begun = []
    with locked(str(tmp_path)) as fds:
        has_them = [sys.executable, '-c', f'import os; [os.fstat(i) for i in {fds}]']
        training.run(has_them, print, begun.append, pass_fds=fds)
        left = subprocess.Popen(
            [sys.executable, '-c', 'input()'], stdin=subprocess.PIPE, pass_fds=fds
        )
    assert fds and begun
    with pytest.raises(ValueError, match='or a training'), locked(str(tmp_path)):
        pass
    left.communicate(b'end\n')
    with locked(str(tmp_path)):
        pass


def test_a_file_system_without_locks_stops_nothing(tmp_path):
    with mock.patch('fcntl.flock', side_effect=OSError(38, 'not implemented')):
        with locked(str(tmp_path)) as fds:
            assert fds == ()
