"""How much of a step is the teacher's."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from tiny import classifier, distiller, image_batch, save_weights

from luminet_mm.distillers import stopwatch
from luminet_mm.distillers.stopwatch import Stopwatch
from luminet_mm.registry import HOOKS

HOOK = dict(type='luminet_mm.TeacherShareHook')


def test_is_the_share_of_the_last_steps(monkeypatch, tmp_path):
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth', seed=5)
    model = distiller(classifier(), classifier(), ckpt)
    model.init_weights()
    data = model.data_preprocessor(image_batch(), True)
    now, naps = [0.0], []
    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr(stopwatch, 'time', clock)
    teach = model._teach

    def slow_teach(*args):
        now[0] += naps[-1]
        return teach(*args)

    monkeypatch.setattr(model, '_teach', slow_teach)
    hub = MessageHub.get_current_instance()
    runner = SimpleNamespace(model=model, message_hub=hub)
    hook = HOOKS.build(dict(HOOK, interval=2))
    hook.before_train(runner)
    shares = []
    for nap in (0, 0, 3, 3, 0, 0):
        naps.append(nap)
        hook.before_train_iter(runner, 0)
        model(**data, mode='loss')
        now[0] += 1  # all that is not the teacher's
        hook.after_train_iter(runner, 0)
        shares.append(hub.get_scalar('train/teacher_share').current())
    # 3 of 4, of the last two steps together
    assert shares == pytest.approx([0, 0, 3 / 5, 6 / 8, 3 / 5, 0])


def test_lets_other_models_alone():
    runner = SimpleNamespace(model=torch.nn.Linear(1, 1))
    hook = HOOKS.build(HOOK)
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    hook.after_train_iter(runner, 0)
    with pytest.raises(ValueError, match='TeacherShareHook.interval=0 must be'):
        HOOKS.build(dict(HOOK, interval=0))


def test_a_gpu_is_never_waited_for(monkeypatch):
    """Of a GPU that lags behind, only what it has done is read."""
    clock, notes = [0], []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing
            notes.append(self)

        def record(self):
            self.milliseconds = 100 * len(notes)

        def query(self):
            return self.milliseconds <= clock[0]

        def elapsed_time(self, end):
            assert end.query()
            return end.milliseconds - self.milliseconds

        def synchronize(self):
            raise AssertionError('it waits')

    monkeypatch.setattr('torch.cuda.Event', Event)
    watch = Stopwatch()
    for _ in range(3):
        watch.start(torch.device('cuda'))
        watch.stop()
    assert watch.read() == 0
    clock[0] = 450
    assert watch.read() == pytest.approx(0.2)
    clock[0] = 600
    assert watch.read() == watch.read() == pytest.approx(0.3)
    assert copy.deepcopy(watch).read() == 0
