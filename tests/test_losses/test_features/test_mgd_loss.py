import numpy as np
import pytest
import torch

from luminet_mm.losses import MGDLoss, mgd_loss
from luminet_mm.losses.features.mgd_loss import hide_positions
from luminet_mm.registry import MODELS


def convolved(feat, conv):
    """A 3x3 convolution of one image, shape (C, H, W), position after position."""
    weight, bias = (p.detach().numpy() for p in (conv.weight, conv.bias))
    padded = np.pad(feat, ((0, 0), (1, 1), (1, 1)))
    out = np.empty((len(weight), *feat.shape[1:]))
    for c, i, j in np.ndindex(*out.shape):
        out[c, i, j] = (weight[c] * padded[:, i : i + 3, j : j + 3]).sum() + bias[c]
    return out


def built(channels_S=3, **settings):
    torch.manual_seed(0)
    loss = MGDLoss(**settings)
    loss.connect([(1, channels_S, 5, 4)], [(1, 4, 5, 4)])
    feats = (torch.randn(2, channels, 5, 4).double() for channels in (channels_S, 4))
    return (loss.double(), *([feat] for feat in feats))


def test_value():
    loss, feats_S, feats_T = built(loss_weight=2)
    torch.manual_seed(1)
    value = loss(feats_S, feats_T).item()

    torch.manual_seed(1)
    aligned = loss.connectors[0].align(feats_S[0]).detach()
    hidden = hide_positions(aligned, 0.45).numpy()
    first, _, second = loss.connectors[0].generation
    total = 0
    for image_S, image_T in zip(hidden, feats_T[0].numpy()):
        generated = convolved(np.maximum(convolved(image_S, first), 0), second)
        total += ((image_T - generated) ** 2).sum()
    assert value == pytest.approx(2 * total / 2, rel=1e-9)


def test_hides_whole_positions_of_each_image():
    feat = torch.rand(2, 3, 100, 100) + 1
    hidden = hide_positions(feat, 0.45)
    mask = hidden[:, 0] == 0
    assert mask.float().mean().item() == pytest.approx(0.45, abs=0.02)
    assert not mask[0].equal(mask[1])
    for channel in range(3):
        kept = hidden[:, channel]
        assert kept.equal(feat[:, channel].masked_fill(mask, 0))
    assert hide_positions(feat, 0).equal(feat)
    assert not hide_positions(feat, 1).any()


@pytest.mark.parametrize('channels_S', [3, 4])
def test_mmrazors_is_the_same(channels_S):
    """Its connector with our weights, where no position is hidden, and its loss."""
    loss, feats_S, feats_T = built(channels_S, mask_ratio=0)
    settings = dict(student_channels=channels_S, teacher_channels=4, lambda_mgd=0)
    connector = MODELS.build(dict(type='mmrazor.MGDConnector', **settings)).double()
    connector.load_state_dict(loss.connectors[0].state_dict())
    theirs = MODELS.build(dict(type='mmrazor.MGDLoss', alpha_mgd=5e-7))
    expected = theirs(connector.forward_train(feats_S[0]), feats_T[0])
    torch.testing.assert_close(loss(feats_S, feats_T), expected)


def test_alignment_only_where_channels_differ():
    for channels_S, expected in ((3, {'align', 'generation'}), (4, {'generation'})):
        named = built(channels_S)[0].connectors[0].named_parameters()
        assert {name.split('.')[0] for name, _ in named} == expected


def test_gradient():
    torch.manual_seed(0)
    feat_S, feat_T = torch.randn(2, 2, 2, 3, 2, dtype=torch.float64)
    torch.autograd.gradcheck(lambda s: mgd_loss(s, feat_T), feat_S.requires_grad_())


def test_hidden_positions_get_no_gradient():
    feat = torch.ones(1, 2, 8, 8, requires_grad=True)
    hidden = hide_positions(feat, 0.5)
    hidden.sum().backward()
    assert feat.grad.equal(hidden.detach())


@pytest.mark.parametrize('ratio', [-0.1, 1.1])
def test_errors(ratio):
    with pytest.raises(
        ValueError, match=r'MGDLoss\.mask_ratio=.* at least 0 and of at'
    ):
        MGDLoss(mask_ratio=ratio)
