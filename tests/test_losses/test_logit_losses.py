"""The registered modules: weighting, reduction, registration, errors."""

import importlib

import pytest
import torch
from mmengine.registry import DefaultScope

from luminet_mm.losses import KDLoss, LuminetLoss, kd_loss, luminet_loss
from luminet_mm.registry import MODELS

PAIRS = [(LuminetLoss, luminet_loss), (KDLoss, kd_loss)]


@pytest.fixture
def preds():
    torch.manual_seed(0)
    return torch.randn(6, 4).requires_grad_(), torch.randn(6, 4)


@pytest.mark.parametrize(('module', 'function'), PAIRS)
def test_reductions_and_weight(module, function, preds):
    preds_S, preds_T = preds
    values = function(preds_S, preds_T, 2.0)
    for reduction, expected in (
        ('none', 3 * values),
        ('sum', 3 * values.sum()),
        ('mean', 3 * values.sum() / 6),
    ):
        loss = module(tau=2.0, loss_weight=3.0, reduction=reduction)
        torch.testing.assert_close(loss(preds_S, preds_T), expected)
    loss = module(tau=2.0)(preds_S, preds_T, avg_factor=12.0)
    torch.testing.assert_close(loss, values.sum() / 12)


@pytest.mark.parametrize(('module', 'function'), PAIRS)
def test_ignored_samples_leave_no_trace(module, function, preds):
    """Weight 0 is as if the row were not there: not in the batch's statistics,
    not in the mean, not in the gradient."""
    preds_S, preds_T = preds
    weight = torch.tensor([1.0, 0.0, 2.0, 0.0, 1.0, 0.5])
    kept = weight > 0
    values = function(preds_S[kept], preds_T[kept], 1.0) * weight[kept]
    loss = module(tau=1.0)(preds_S, preds_T, weight=weight)
    torch.testing.assert_close(loss, values.sum() / 4)
    (grad,) = torch.autograd.grad(loss, preds_S)
    assert (grad[~kept] == 0).all()
    assert (grad[kept] != 0).any(dim=1).all()

    rows = module(tau=1.0, reduction='none')(preds_S, preds_T, weight=weight)
    assert (rows[~kept] == 0).all()
    torch.testing.assert_close(rows[kept], values)


@pytest.mark.parametrize(('module', 'function'), PAIRS)
@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_no_sample_left(module, function, reduction, preds):
    preds_S, preds_T = preds
    loss = module(reduction=reduction)(preds_S, preds_T, weight=torch.zeros(6))
    loss.backward()
    assert loss == 0
    assert (preds_S.grad == 0).all()


@pytest.mark.parametrize(('module', 'function'), PAIRS)
def test_teacher_gets_no_gradient(module, function, preds):
    preds_S, preds_T = preds
    preds_T.requires_grad_()
    module()(preds_S, preds_T).backward()
    assert preds_T.grad is None


@pytest.mark.parametrize('scope', ['luminet_mm', 'mmdet', 'mmpretrain', 'mmrazor'])
def test_builds_from_every_registry(scope):
    registry = importlib.import_module(f'{scope}.registry').MODELS
    loss = registry.build(dict(type='luminet_mm.LuminetLoss', tau=3.0))
    assert isinstance(loss, LuminetLoss)
    assert loss.tau == 3.0


def test_builds_by_its_plain_name():
    with DefaultScope.overwrite_default_scope('luminet_mm'):
        assert isinstance(MODELS.build(dict(type='LuminetLoss')), LuminetLoss)


@pytest.mark.parametrize(
    ('module', 'kwargs', 'message'),
    [
        (
            LuminetLoss,
            dict(tau=0),
            'LuminetLoss: tau=0 must be a finite number above 0',
        ),
        (LuminetLoss, dict(tau=-1.0), 'tau=-1.0'),
        (LuminetLoss, dict(tau=float('nan')), 'tau=nan'),
        (LuminetLoss, dict(eps=0.0), 'eps=0.0'),
        (KDLoss, dict(tau=0), 'KDLoss: tau=0'),
        (KDLoss, dict(loss_weight=-2.0), 'loss_weight=-2.0 must be a finite number of'),
        (KDLoss, dict(reduction='max'), "reduction='max' is unknown"),
    ],
)
def test_wrong_arguments(module, kwargs, message):
    with pytest.raises(ValueError, match=message):
        module(**kwargs)


def test_wrong_inputs(preds):
    preds_S, preds_T = preds
    with pytest.raises(ValueError, match=r'student gives \(6, 4\).*teacher \(6, 5\)'):
        LuminetLoss()(preds_S, torch.randn(6, 5))
    with pytest.raises(ValueError, match="avg_factor needs reduction='mean'"):
        LuminetLoss(reduction='sum')(preds_S, preds_T, avg_factor=2.0)
