"""A loss that is zero for a whole interval is told of, once, and nothing else."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import HOOKS
from tiny import coco_set

import luminet_mm.hooks  # noqa: F401

MODEL = SimpleNamespace(distill_losses=dict(loss_a=None, loss_b=None))


@pytest.fixture
def warnings(monkeypatch):
    said = []
    for module in ('hooks.zero_loss_hook', 'never_stop'):
        monkeypatch.setattr(
            f'luminet_mm.{module}.print_log',
            lambda text, **kwargs: said.append(text),
        )
    return said


def run(hook, steps, model=MODEL, first=0):
    """Steps of a run that may have been resumed; what each returned."""
    for index, outputs in enumerate(steps, first):
        runner = SimpleNamespace(model=model, iter=index)
        hook.after_train_iter(runner, index, None, outputs)


def build(**kwargs):
    return HOOKS.build(dict(type='luminet_mm.ZeroLossHook', **kwargs))


def losses(a, b=1.0):
    return dict(loss_a=torch.tensor(a), loss_b=torch.tensor(b), loss_cls=torch.ones(1))


@pytest.mark.parametrize('first', [0, 2])  # of two epochs, or resumed
def test_counts_what_it_saw(first, warnings):
    hook = build(interval=3)
    run(hook, [losses(0.0)] * 2, first=first)
    assert not warnings
    run(hook, [losses(0.0)], first=first + 2)
    assert len(warnings) == 1
    assert "'loss_a' was exactly zero for 3 iterations" in warnings[0]
    run(hook, [losses(0.0)] * 30)
    assert len(warnings) == 1
    run(hook, [losses(0.0, 0.0)] * 3)
    assert len(warnings) == 2 and "'loss_b'" in warnings[1]


def test_a_single_value_is_enough(warnings):
    for value in (1e-30, -1.0, float('nan')):
        run(build(interval=3), [losses(0.0), losses(value), losses(0.0)])
    assert not warnings


@pytest.mark.parametrize('outputs', [None, {}, dict(loss_a=2.0), dict(loss=0.0)])
def test_a_wrapper_may_return_less(outputs, warnings):
    run(build(interval=1), [outputs])
    assert not warnings
    run(build(interval=1), [outputs], model=SimpleNamespace())
    assert not warnings
    run(build(interval=1), [dict(outputs or {}, loss_b=0)])
    assert len(warnings) == 1


def test_never_stops_a_run(warnings):
    hook = build(interval=1)
    run(hook, [dict(loss_a='unreadable'), losses(0.0)])
    assert len(warnings) == 1
    assert warnings[0].startswith('ZeroLossHook is off for the rest of this run')
    assert 'unreadable' in warnings[0] or 'TypeError' in warnings[0]


@pytest.mark.parametrize('interval', [0, -1, 1.5, '50', True, None])
def test_refuses_a_wrong_interval(interval):
    with pytest.raises(
        (TypeError, ValueError), match='ZeroLossHook.interval=.*integer'
    ):
        build(interval=interval)


def look_at(dataloader):
    """As a training starts."""
    build().before_train(SimpleNamespace(train_dataloader=dataloader, model=MODEL))


@pytest.mark.parametrize('classes', [('a', 'b', 'c'), ('a', 'B', 'c'), None])
def test_class_names_that_the_annotations_lack(classes, warnings, tmp_path):
    from mmdet.datasets import CocoDataset

    metainfo = dict(classes=classes) if classes else None  # or COCO's own 80
    dataset = CocoDataset(
        f'{coco_set(tmp_path)}/annotations.json',
        metainfo,
        data_prefix=dict(img=f'{tmp_path}/images'),
    )
    wrapped = SimpleNamespace(dataset=dataset)
    look_at(wrapped)
    if classes == ('a', 'b', 'c'):
        assert not warnings
        return
    (warning,) = warnings
    assert ('Only 2 of the 3' if classes else 'Only 0 of the 80') in warning
    assert 'metainfo.classes' in warning


def test_data_sets_of_other_kinds(warnings):
    look_at(SimpleNamespace(dataset=[1, 2]))
    assert not warnings
