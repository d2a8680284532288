import numpy as np
import pytest
import torch

from luminet_mm.losses import PKDLoss, pkd_loss
from luminet_mm.registry import MODELS


def maps(*shape, dtype=torch.float64, levels=2):
    torch.manual_seed(0)
    return [3 * torch.randn(shape, dtype=dtype) + 2 for _ in range(levels)]


def naive(feat_S, feat_T):
    """One minus the correlation of every channel, averaged."""
    channels = range(feat_S.shape[1])
    rows = [[f[:, c].numpy().ravel() for f in (feat_S, feat_T)] for c in channels]
    return np.mean([1 - np.corrcoef(*pair)[0, 1] for pair in rows])


def test_is_one_minus_correlation():
    feat_S, feat_T = maps(3, 4, 5, 6)
    loss = pkd_loss(feat_S, feat_T, eps=1e-12).item()
    assert loss == pytest.approx(naive(feat_S, feat_T), rel=1e-9)
    default = pkd_loss(feat_S, feat_T).item()
    assert default == pytest.approx(naive(feat_S, feat_T), rel=1e-5)


def test_offset_and_scale_do_not_matter():
    feat_S, feat_T = maps(2, 3, 4, 4)
    torch.testing.assert_close(
        pkd_loss(5 * feat_S - 7, feat_T), pkd_loss(feat_S, feat_T), rtol=1e-5, atol=0
    )
    assert pkd_loss(5 * feat_T - 7, feat_T) < 1e-5
    assert pkd_loss(-feat_T, feat_T) == pytest.approx(2, rel=1e-5)


def test_gradient():
    feat_S, feat_T = maps(2, 2, 3, 2)
    torch.autograd.gradcheck(lambda s: pkd_loss(s, feat_T), feat_S.requires_grad_())


def test_mmrazors_is_the_same():
    """Up to its unbiased variance, a factor of (n - 1) / n with n = B H W values."""
    loss = PKDLoss()
    feats_S, feats_T = (
        [torch.randn(2, 3, size, size) for size in (8, 4)] for _ in range(2)
    )
    loss.connect([f.shape for f in feats_S], [f.shape for f in feats_T])
    theirs = MODELS.build(dict(type='mmrazor.PKDLoss', loss_weight=6))
    expected = sum(
        theirs(s, t) * n / (n - 1) for s, t, n in zip(feats_S, feats_T, (128, 32))
    )
    torch.testing.assert_close(loss(feats_S, feats_T), expected)


def test_constant_channels_and_single_values():
    """A channel that says nothing is as far as one without correlation, or at 0."""
    feat_S, feat_T = maps(2, 1, 3, 3, dtype=torch.float32)
    constant = torch.full_like(feat_T, 1e3).requires_grad_()
    loss = pkd_loss(constant, feat_T)
    loss.backward()
    assert loss.item() == pytest.approx(0.5, rel=1e-4)
    assert constant.grad.isfinite().all()
    single = torch.ones(1, 4, 1, 1, requires_grad=True)
    loss = pkd_loss(single, torch.rand(1, 4, 1, 1))
    loss.backward()
    assert loss == 0 and not single.grad.any()


def test_errors():
    with pytest.raises(ValueError, match=r'PKDLoss\.eps=0 must be .* above 0'):
        PKDLoss(eps=0)


def test_learns_only_where_channels_differ():
    loss = PKDLoss()
    loss.connect([(1, 3, 8, 8), (1, 4, 4, 4)], [(1, 4, 8, 8), (1, 4, 4, 4)])
    assert [p.shape for p in loss.parameters()] == [(4, 3, 1, 1), (4,)]
