import math

import pytest
import torch

from luminet_mm.losses import CWDLoss, cwd_loss
from luminet_mm.registry import MODELS


def naive(feat_S, feat_T, tau):
    total = 0
    for image_S, image_T in zip(feat_S.tolist(), feat_T.tolist()):
        for channel_S, channel_T in zip(image_S, image_T):
            q, p = (
                [math.exp(value / tau) for row in channel for value in row]
                for channel in (channel_S, channel_T)
            )
            total += sum(
                b / sum(p) * math.log(b / sum(p) / (a / sum(q))) for a, b in zip(q, p)
            )
    return tau**2 * total / (feat_S.shape[0] * feat_S.shape[1])


def maps(*shape):
    torch.manual_seed(0)
    return [2 * torch.randn(shape, dtype=torch.float64) for _ in range(2)]


@pytest.mark.parametrize('tau', [1.0, 4.0])
def test_value(tau):
    feat_S, feat_T = maps(2, 3, 4, 5)
    expected = naive(feat_S, feat_T, tau)
    assert cwd_loss(feat_S, feat_T, tau).item() == pytest.approx(expected, rel=1e-9)


def test_gradient():
    feat_S, feat_T = maps(2, 2, 2, 3)
    torch.autograd.gradcheck(lambda s: cwd_loss(s, feat_T), feat_S.requires_grad_())


def test_mmrazors_is_the_same():
    loss = CWDLoss(tau=2.0)
    feats_S, feats_T = (
        [torch.randn(2, 3, size, size) for size in (8, 4)] for _ in range(2)
    )
    loss.connect([f.shape for f in feats_S], [f.shape for f in feats_T])
    theirs = MODELS.build(
        dict(type='mmrazor.ChannelWiseDivergence', tau=2.0, loss_weight=10)
    )
    expected = sum(theirs(s, t) for s, t in zip(feats_S, feats_T))
    torch.testing.assert_close(loss(feats_S, feats_T), expected)


def test_channels_last():
    feat_S, feat_T = maps(2, 3, 4, 5)
    last = [f.contiguous(memory_format=torch.channels_last) for f in (feat_S, feat_T)]
    torch.testing.assert_close(cwd_loss(*last), cwd_loss(feat_S, feat_T))


def test_one_position_gives_zero():
    feat = torch.rand(2, 3, 1, 1, requires_grad=True)
    loss = cwd_loss(feat, torch.rand(2, 3, 1, 1))
    loss.backward()
    assert loss == 0 and not feat.grad.any()


def test_large_values_stay_finite():
    feat_S, feat_T = (1e4 * feat.float() for feat in maps(2, 3, 4, 5))
    assert cwd_loss(feat_S, feat_T).isfinite()


def test_errors():
    with pytest.raises(ValueError, match=r'CWDLoss\.tau=0 must be .* above 0'):
        CWDLoss(tau=0)
