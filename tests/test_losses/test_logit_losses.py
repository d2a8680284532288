"""Every registered loss of ours: its value against a naive loop in float64, every
edge of its input, weighting, reduction, registration, errors."""

import importlib
import inspect
import logging
import re
import sys

import naive
import pytest
import torch
from mmengine.registry import DefaultScope

from luminet_mm.checks import place
from luminet_mm.losses import (
    BoxLoss,
    DKDLoss,
    KDLoss,
    LogitLoss,
    LuminetLoss,
    MultiLevelLoss,
)
from luminet_mm.registry import MODELS

MODELS.import_from_location()
LOSSES = [
    module
    for module in MODELS.module_dict.values()
    if inspect.isclass(module) and issubclass(module, LogitLoss)
]
# a loss that has no reference here fails all of this file
REFERENCES = {
    'BoxLoss': naive.box,
    'DISTLoss': naive.dist,
    'DKDLoss': naive.dkd,
    'KDLoss': naive.kd,
    'LogitStandardizationLoss': naive.logit_standardization,
    'LuminetLoss': naive.luminet,
    'MultiLevelLoss': naive.multi_level,
}
OPTIONS = {
    'DISTLoss': [dict(inter_loss_weight=2.0, intra_loss_weight=0.5), dict(eps=1e-2)],
    'DKDLoss': [dict(alpha=0.5, beta=2.0)],
    'LogitStandardizationLoss': [dict(eps=0.1)],
    'LuminetLoss': [dict(eps=0.1)],
    'MultiLevelLoss': [
        dict(taus=[1.5], instance_weight=0.1, batch_weight=2.0, class_weight=3.0)
    ],
}
SETTINGS = [
    (module, settings)
    for module in LOSSES
    for settings in [
        {},
        *([dict(tau=0.7)] if 'tau' in inspect.signature(module).parameters else []),
        *OPTIONS.get(module.__name__, []),
    ]
]

HALF = [torch.float16, torch.bfloat16]
every_loss = pytest.mark.parametrize('module', LOSSES)


def batch(num_samples, num_classes, seed=0, scale=3.0):
    """Logits of student and teacher and the labels, the last class among them."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, num_samples, num_classes)
    z_S, z_T = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
    return z_S, z_T, (torch.arange(num_samples) - 1) % num_classes


def values_of(module, z_S, z_T, labels, **settings):
    return module(reduction='none', **settings)(z_S, z_T, gt_labels=labels)


@pytest.fixture
def preds():
    z_S, z_T, labels = batch(6, 4)
    return z_S.float().requires_grad_(), z_T.float(), labels


def test_every_loss_has_a_reference():
    assert sorted(REFERENCES) == sorted(module.__name__ for module in LOSSES)


@pytest.mark.parametrize(('module', 'settings'), SETTINGS)
@pytest.mark.parametrize(
    ('dtype', 'rtol'),
    [
        (torch.float64, 1e-9),
        (torch.float32, 2e-4),
        (torch.float16, 2e-4),
        (torch.bfloat16, 2e-4),
    ],
)
@pytest.mark.parametrize('shape', [(16, 10), (4, 30)])
def test_equals_a_naive_loop(module, settings, dtype, rtol, shape):
    """Half precision is rounded on input only: both sides see rounded logits."""
    z_S, z_T, labels = batch(*shape, seed=1)
    z_S, z_T = z_S.to(dtype), z_T.to(dtype)
    value = values_of(module, z_S, z_T, labels, **settings)
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    reference = REFERENCES[module.__name__]
    expected = reference(z_S.double(), z_T.double(), labels, **settings)
    torch.testing.assert_close(value.double(), expected, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize(('module', 'settings'), SETTINGS)
def test_gradient_equals_a_naive_loops(module, settings):
    z_S, z_T, labels = batch(5, 4, seed=2, scale=1.0)
    expected = naive.gradient(REFERENCES[module.__name__], z_S, z_T, labels, **settings)
    for dtype, rtol in ((torch.float64, 1e-5), (torch.float32, 1e-3)):
        leaf = z_S.detach().clone().to(dtype).requires_grad_()
        values_of(module, leaf, z_T.to(dtype), labels, **settings).sum().backward()
        torch.testing.assert_close(leaf.grad.double(), expected, rtol=rtol, atol=1e-6)


@every_loss
@pytest.mark.parametrize('shape', [(1, 4), (2, 3), (6, 4)])
def test_gradcheck(module, shape):
    z_S, z_T, labels = batch(*shape, seed=3, scale=1.0)
    assert torch.autograd.gradcheck(
        lambda z: values_of(module, z, z_T, labels), (z_S.requires_grad_(),)
    )


@every_loss
@pytest.mark.parametrize('shape', [(3, 4), (2, 6)])
def test_second_derivative(module, shape):
    z_S, z_T, labels = batch(*shape, seed=3, scale=1.0)
    assert torch.autograd.gradgradcheck(
        lambda z: values_of(module, z, z_T, labels), (z_S.requires_grad_(),)
    )


@every_loss
@pytest.mark.parametrize('num_samples', [0, 1])
@pytest.mark.parametrize('dtype', HALF + [torch.float32, torch.float64])
@pytest.mark.parametrize('settings', [{}, dict(reduction='none')])
def test_empty_batch_and_single_sample(module, num_samples, dtype, settings):
    z_S, z_T, labels = batch(num_samples, 5, seed=4)
    z_S, z_T = z_S.to(dtype).requires_grad_(), z_T.to(dtype)
    value = module(**settings)(z_S, z_T, gt_labels=labels)
    assert value.shape == ((num_samples,) if settings else ())
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(z_S.grad).all()
    if num_samples == 0 or module is LuminetLoss:
        assert (value == 0).all()
        assert (z_S.grad == 0).all()


@every_loss
@pytest.mark.parametrize('labels', [None, torch.zeros(0), torch.zeros(0).int()])
@pytest.mark.parametrize('weight', [None, torch.zeros(0)])
def test_no_sample_needs_no_labels(module, labels, weight):
    """mmdet asks its box head for no loss where it sampled no RoI."""
    z_S, z_T = torch.zeros(2, 0, 5).unbind()
    z_S.requires_grad_()
    loss = module()(z_S, z_T, gt_labels=labels, weight=weight)
    loss.backward()
    assert loss == 0
    assert z_S.grad.shape == (0, 5)


@every_loss
@pytest.mark.parametrize('sides', [[0], [1], [0, 1]])
@pytest.mark.parametrize('where', [(slice(None), 2), (2, slice(None)), ...])
@pytest.mark.parametrize('constant', [0.0, 7.3])
def test_constant_logits(module, sides, where, constant):
    """A dead class, a dead sample, a classifier that was initialised with zeros:
    neither NaN nor a gradient that ends the training."""
    *preds, labels = batch(8, 6, seed=5)
    z_S, z_T = preds = [z.float() for z in preds]
    for side in sides:
        preds[side][where] = constant
    value = values_of(module, z_S.requires_grad_(), z_T, labels)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert z_S.grad.abs().max() < 1e3


@every_loss
@pytest.mark.parametrize('offset', [0.0, 1e4])
def test_large_logits(module, offset):
    z_S, z_T, labels = batch(8, 6, seed=9, scale=1e4)
    z_S, z_T = (z_S + offset).float(), (z_T + offset).float()
    value = values_of(module, z_S.requires_grad_(), z_T, labels)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(z_S.grad).all()
    expected = values_of(module, z_S.detach().double(), z_T.double(), labels)
    torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('module', 'settings'), SETTINGS)
@pytest.mark.parametrize('dtype', HALF)
def test_autocast_does_not_narrow(module, settings, dtype):
    z_S, z_T, labels = batch(16, 10, seed=12)
    z_S, z_T = z_S.to(dtype).requires_grad_(), z_T.to(dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = values_of(module, z_S, z_T, labels, **settings)
    expected = values_of(
        module, z_S.detach().double(), z_T.double(), labels, **settings
    )
    torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-6)
    value.sum().backward()
    assert torch.isfinite(z_S.grad).all()


@every_loss
def test_reductions_and_weight(module, preds):
    z_S, z_T, labels = preds
    values = values_of(module, z_S, z_T, labels)
    assert values.shape == (6,)
    for reduction, expected in (
        ('none', 3 * values),
        ('sum', 3 * values.sum()),
        ('mean', 3 * values.sum() / 6),
    ):
        loss = module(loss_weight=3.0, reduction=reduction)
        torch.testing.assert_close(loss(z_S, z_T, gt_labels=labels), expected)
    loss = module()(z_S, z_T, gt_labels=labels, avg_factor=12.0)
    torch.testing.assert_close(loss, values.sum() / 12)


@every_loss
def test_ignored_samples_leave_no_trace(module, preds):
    """Weight 0 is as if the row were not there: not in the batch's statistics,
    not in the mean, not in the gradient."""
    z_S, z_T, labels = preds
    labels[3] = -1  # as samples without a class come
    weight = torch.tensor([1.0, 0.0, 2.0, 0.0, 1.0, 0.5])
    kept = weight > 0
    values = values_of(module, z_S[kept], z_T[kept], labels[kept]) * weight[kept]
    loss = module()(z_S, z_T, gt_labels=labels, weight=weight)
    torch.testing.assert_close(loss, values.sum() / 4)
    (grad,) = torch.autograd.grad(loss, z_S)
    assert (grad[~kept] == 0).all()
    assert (grad[kept] != 0).any(dim=1).all()

    rows = module(reduction='none')(z_S, z_T, gt_labels=labels, weight=weight)
    assert (rows[~kept] == 0).all()
    torch.testing.assert_close(rows[kept], values)


@every_loss
@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_no_sample_left(module, reduction, preds):
    z_S, z_T, labels = preds
    loss = module(reduction=reduction)(
        z_S, z_T, gt_labels=labels, weight=torch.zeros(6)
    )
    loss.backward()
    assert loss == 0
    assert (z_S.grad == 0).all()


@every_loss
def test_teacher_gets_no_gradient(module, preds):
    z_S, z_T, labels = preds
    z_T.requires_grad_()
    module()(z_S, z_T, gt_labels=labels).backward()
    assert z_T.grad is None


@every_loss
@pytest.mark.parametrize('scope', ['luminet_mm', 'mmdet', 'mmpretrain', 'mmrazor'])
def test_builds_from_every_registry(module, scope):
    registry = importlib.import_module(f'{scope}.registry').MODELS
    loss = registry.build(dict(type=f'luminet_mm.{module.__name__}', loss_weight=3.0))
    assert type(loss) is module
    assert loss.loss_weight == 3.0


@every_loss
def test_builds_by_its_plain_name(module):
    with DefaultScope.overwrite_default_scope('luminet_mm'):
        assert type(MODELS.build(dict(type=module.__name__))) is module


@every_loss
def test_log_shows_every_argument(module):
    """The summary at the start of a run prints the losses."""
    shown = repr(module())
    for name in inspect.signature(module).parameters:
        assert f'{name}=' in shown


@pytest.mark.parametrize(
    ('module', 'kwargs', 'error', 'message'),
    [
        (LuminetLoss, dict(tau=0), ValueError, 'tau=0 must be a finite number above 0'),
        (
            KDLoss,
            dict(loss_weight=-2.0),
            ValueError,
            'loss_weight=-2.0 must be a finite number of at least 0',
        ),
        (
            KDLoss,
            dict(reduction='means'),
            ValueError,
            "reduction='means' must be one of ('mean', 'sum', 'none'), "
            "did you mean 'mean'?",
        ),
        (KDLoss, dict(reduction=None), ValueError, 'reduction=None must be one of'),
        (
            LuminetLoss,
            dict(sync_stats='False'),
            TypeError,
            "sync_stats='False' must be True or False; it is a text, so remove",
        ),
        (LuminetLoss, dict(sync_stats=1), TypeError, 'sync_stats=1 must be True or'),
        (MultiLevelLoss, dict(taus=[]), ValueError, 'taus=[] must be a list of at lea'),
        (MultiLevelLoss, dict(taus=4.0), TypeError, 'taus=4.0 must be a list of at le'),
        (MultiLevelLoss, dict(taus=[4, 0]), ValueError, 'taus[1]=0 must be a finite'),
        (MultiLevelLoss, dict(taus='4'), TypeError, "taus[0]='4' must be a finite num"),
    ],
)
def test_wrong_arguments(module, kwargs, error, message):
    with pytest.raises(error, match=re.escape(f'{module.__name__}.{message}')):
        module(**kwargs)
    key = 'model.distill_losses.loss_mine'
    with place(key), pytest.raises(error, match=re.escape(f'{key}.{message}')):
        module(**kwargs)


@every_loss
def test_every_number_is_checked(module):
    for name, parameter in inspect.signature(module).parameters.items():
        if isinstance(parameter.default, float):
            zero = [0.0] if name in ('tau', 'eps') else []
            for wrong in (-1.0, float('nan'), float('inf'), *zero):
                with pytest.raises(ValueError, match=rf'{module.__name__}\.{name}='):
                    module(**{name: wrong})
            for wrong in (None, True, [1.0]):
                with pytest.raises(TypeError, match=rf'{module.__name__}\.{name}='):
                    module(**{name: wrong})
            with pytest.raises(TypeError, match=f"{name}='2' must .* remove the quot"):
                module(**{name: '2'})


@every_loss
def test_wrong_inputs(module, preds):
    z_S, z_T, labels = preds
    with pytest.raises(ValueError, match=r'student gives \(6, 4\).*teacher \(6, 5\)'):
        module()(z_S, torch.randn(6, 5), gt_labels=labels)
    with pytest.raises(ValueError, match="avg_factor needs reduction='mean'"):
        module(reduction='sum')(z_S, z_T, gt_labels=labels, avg_factor=2.0)


@every_loss
@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        (lambda z: dict(preds_S=(z, z)), TypeError, 'the student gives a tuple'),
        (lambda z: dict(preds_T=None), TypeError, 'the teacher gives a NoneType'),
        (
            lambda z: dict(preds_T=z.long()),
            TypeError,
            r'the teacher gives torch.int64 of shape \(6, 4\)',
        ),
        (
            lambda z: dict(preds_S=z[0], preds_T=z[0]),
            ValueError,
            r'the student gives \(4,\) and the teacher \(4,\)',
        ),
        (
            lambda z: dict(weight=torch.ones(6, 1)),
            ValueError,
            r'one of weight for each of 6 samples, shape \(6,\), but is given '
            r'torch.float32 of shape \(6, 1\)',
        ),
        (lambda z: dict(weight=torch.ones(())), ValueError, r'of shape \(\)'),
        (lambda z: dict(weight=[1.0] * 6), ValueError, 'weight .* is given a list'),
        (
            # an image with two labels
            lambda z: dict(gt_labels=torch.zeros(7).long()),
            ValueError,
            r'one of gt_labels for each of 6 samples.* torch.int64 of shape \(7,\)',
        ),
        (
            lambda z: dict(gt_labels=torch.zeros(6, 1).long()),
            ValueError,
            r'gt_labels .* of shape \(6, 1\)',
        ),
        (
            lambda z: dict(gt_labels=torch.zeros(6)),
            TypeError,
            r'class indices, integers, but gt_labels are torch.float32 of shape \(6,\)',
        ),
        (lambda z: dict(gt_labels=torch.zeros(6).bool()), TypeError, 'torch.bool'),
    ],
)
def test_inputs_that_are_not_one_of_each_for_each_row(
    module, change, error, message, preds
):
    z_S, z_T, labels = preds
    given = dict(preds_S=z_S, preds_T=z_T, gt_labels=labels)
    with pytest.raises(error, match=f'{module.__name__} .*{message}'):
        module()(**{**given, **change(z_S.detach())})


def test_labels_are_missing(preds):
    z_S, z_T, _ = preds
    with pytest.raises(ValueError, match='DKDLoss needs the class index of each sam'):
        DKDLoss()(z_S, z_T)


@pytest.mark.parametrize('wrong', [-1, 4, 255])
def test_labels_are_no_classes(wrong, preds):
    z_S, z_T, labels = preds
    labels[2] = wrong
    with pytest.raises(
        ValueError, match=f'gt_labels from .*{wrong}.* 4 columns .*0 to 3'
    ):
        DKDLoss()(z_S, z_T, labels)


@pytest.mark.parametrize('dtype', [torch.int32, torch.uint8])
def test_labels_of_any_integer_type(dtype, preds):
    z_S, z_T, labels = preds
    loss = DKDLoss()
    assert loss(z_S, z_T, labels.to(dtype)) == loss(z_S, z_T, labels)


@every_loss
def test_a_class_alone_teaches_nothing(module):
    z_S, z_T, labels = batch(4, 1)
    with pytest.raises(ValueError, match=r'the shape \(4, 1\): one class alone'):
        module()(z_S, z_T, gt_labels=labels)


@every_loss
@pytest.mark.parametrize('wrong', [0, -1.0, float('nan'), '2'])
def test_wrong_avg_factor(module, wrong, preds):
    z_S, z_T, labels = preds
    with pytest.raises((TypeError, ValueError), match=f'{module.__name__}.avg_factor='):
        module()(z_S, z_T, gt_labels=labels, avg_factor=wrong)


@pytest.fixture
def warnings(monkeypatch):
    """What the losses log, which are warnings alone."""
    texts = []

    def print_log(text, logger, level):
        assert level == logging.WARNING
        texts.append(text)

    monkeypatch.setattr('luminet_mm.losses.logit_loss.print_log', print_log)
    return texts


def test_a_batch_of_one_image_is_told_once(preds, warnings):
    z_S, z_T, _ = preds
    loss = LuminetLoss()
    for count in (6, 0, 1, 1):
        loss(z_S[:count], z_T[:count])
    (text,) = warnings
    assert text.startswith('LuminetLoss: a batch of one sample has no statistics')
    assert 'larger batch_size' in text
    assert 'sync_stats=True' in text


def test_statistics_of_several_processes_need_no_second_sample(
    preds, warnings, monkeypatch
):
    z_S, z_T, _ = preds
    module = sys.modules[LuminetLoss.__module__]  # a function has its name, too
    monkeypatch.setattr(module, 'get_world_size', lambda: 2)
    LuminetLoss(sync_stats=True).divergence(z_S[:1], z_T[:1], None)
    assert not warnings


@every_loss
@pytest.mark.parametrize('wrong', [float('nan'), float('-inf'), 1e20])
def test_a_teacher_whose_logits_overflow_is_told_once(module, wrong, preds, warnings):
    z_S, z_T, labels = preds
    z_T[2, 1] = wrong
    loss = module()
    for _ in range(2):
        loss(z_S, z_T, gt_labels=labels)
    told = [text for text in warnings if 'not finite, or so large' in text]
    assert len(told) == (module is not BoxLoss)


@every_loss
def test_a_teacher_that_says_always_the_same_is_told_once(module, preds, warnings):
    z_S, z_T, labels = preds
    same = z_T[:1].expand(6, 4)
    loss = module()
    for _ in range(2):
        loss(z_S, same, gt_labels=labels)
    told = [text for text in warnings if 'gives every sample' in text]
    # the boxes of a batch of background are all zero
    assert len(told) == (module is not BoxLoss)

    warnings.clear()
    loss = module()
    loss(z_S, z_T, gt_labels=labels)
    loss(z_S, same, gt_labels=labels)
    assert not warnings
