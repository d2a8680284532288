"""What large trainings switch on, with a distiller: the student learns the same."""

import gc

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from tiny import (
    build,
    classification_run,
    classifier,
    dense,
    detection_batch,
    detection_run,
    distilled,
    distiller,
    faster_rcnn,
    image_batch,
    save_weights,
)

KD = dict(loss_kd=dict(type='luminet_mm.KDLoss'))


def student(tmp_path, name, make_run=classification_run, model=None, **overrides):
    """Parameters that a training ends with."""
    make = classifier if make_run is classification_run else faster_rcnn
    ckpt = save_weights(make(), tmp_path / 'teacher.pth', seed=5)
    cfg = distilled(make(), make(), ckpt)
    cfg.update(model or {})
    cfg = make_run(cfg, tmp_path, tmp_path / name, param_scheduler=[], **overrides)
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    return {name: value.detach() for name, value in runner.model.named_parameters()}


def assert_same(one, other, **tolerance):
    assert list(one) == list(other)
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], msg=name, **tolerance)


def test_gradient_accumulation_is_a_larger_batch(tmp_path):
    """Of a loss of single samples, beside normalisation that is not of the batch."""
    frozen = classifier()
    frozen['backbone']['norm_eval'] = True
    settings = dict(model=dict(student=frozen, distill_losses=KD))
    large = student(tmp_path, 'large', train_dataloader=dict(batch_size=8), **settings)
    small = student(
        tmp_path,
        'small',
        train_dataloader=dict(batch_size=4),
        optim_wrapper=dict(accumulative_counts=2),
        **settings,
    )
    assert_same(large, small, rtol=1e-4, atol=1e-6)
    start = student(tmp_path, 'start', train_cfg=dict(max_epochs=0), **settings)
    assert not torch.equal(start['head.fc.weight'], small['head.fc.weight'])


def test_workers_change_nothing(tmp_path):
    alone = student(tmp_path, 'alone')
    loader = dict(num_workers=2, persistent_workers=True)
    assert_same(alone, student(tmp_path, 'workers', train_dataloader=loader))


@pytest.mark.parametrize('make_run', [classification_run, detection_run])
def test_activation_checkpointing_changes_nothing(make_run, tmp_path):
    plain = student(tmp_path, 'plain', make_run)
    layers = [f'student.backbone.layer{i}' for i in (2, 4)]
    checkpointed = student(
        tmp_path, 'checkpointed', make_run, activation_checkpointing=layers
    )
    assert_same(plain, checkpointed, rtol=1e-4, atol=1e-6)


def size(thing):
    """Bytes of a tensor; what an exporter's trace has left has no type to count."""
    try:
        return thing.nbytes if isinstance(thing, torch.Tensor) else 0
    except RuntimeError:
        return 0


@pytest.mark.parametrize('make', [classifier, faster_rcnn])
def test_nothing_grows_with_steps(make, tmp_path):
    ckpt = save_weights(make(), tmp_path / 'teacher.pth')
    model = distiller(make(), make(), ckpt, accelerate_teacher=True).train()
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9))

    def bytes_held(steps):
        for seed in range(steps):
            batch = image_batch if make is classifier else detection_batch
            model.train_step(batch(seed=seed), optim)
        gc.collect()
        return sum(map(size, gc.get_objects()))

    assert bytes_held(2) == bytes_held(6)


@pytest.mark.parametrize(
    ('model', 'make_batch'),
    [(classifier(), image_batch), (dense('retinanet'), detection_batch)],
    ids=['classifier', 'retinanet'],
)
def test_bfloat16_learns_nearly_the_same(model, make_batch, tmp_path):
    """By autocast, as mmengine's AmpOptimWrapper does on a GPU."""
    ckpt = save_weights(model, tmp_path / 'teacher.pth', seed=5)
    student = build(model, seed=3).state_dict()
    model = distiller(model, model, ckpt, accelerate_teacher=True)
    model.load_state_dict(student)
    model.train()
    batch = model.data_preprocessor(make_batch(), True)
    plain = model.loss(**batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = model.loss(**batch)
    (plain, log), (half, half_log) = map(model.parse_losses, (plain, half))
    for name, loss in log.items():
        assert half_log[name].dtype == torch.float32
        torch.testing.assert_close(half_log[name], loss, rtol=0.05, atol=0.01)
    half.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_two_stage_detectors_have_no_bfloat16(tmp_path):
    """mmcv's operators lack it, RoIAlign on any device: with a teacher or without. The
    distiller says so in the first step."""
    ckpt = save_weights(faster_rcnn(), tmp_path / 'teacher.pth')
    model = distiller(faster_rcnn(), faster_rcnn(), ckpt).train()
    batch = model.data_preprocessor(detection_batch(), True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        with pytest.raises(RuntimeError, match='BFloat16'):
            model.student(**batch, mode='loss')
        with pytest.raises(ValueError, match="optim_wrapper.dtype='bfloat16': an op"):
            model(**batch, mode='loss')


AMP = [dict(type='AmpOptimWrapper', dtype=dtype) for dtype in ('float16', 'bfloat16')]


@pytest.mark.parametrize('wrapper', AMP)
def test_amp_says_that_it_needs_a_gpu(wrapper, tmp_path):
    with pytest.raises(AssertionError, match='only available training on gpu'):
        student(tmp_path, 'amp', optim_wrapper=wrapper)


@pytest.mark.gpu
@pytest.mark.parametrize('wrapper', AMP)
def test_amp_learns_nearly_the_same(wrapper, tmp_path):
    plain = student(tmp_path, 'plain')
    half = student(tmp_path, 'amp', optim_wrapper=wrapper)
    assert_same(plain, half, rtol=0.05, atol=0.01)
