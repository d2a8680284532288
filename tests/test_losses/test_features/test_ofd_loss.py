"""OFD: margins against integrals, the partial distance against loops, connectors."""

import math

import pytest
import torch
from torch import nn

from luminet_mm.losses import OFDLoss, ofd_loss, ofd_margin

SHAPES_S = [(1, 64, 32, 32), (1, 128, 16, 16), (1, 256, 8, 8)]


def norm_of(channels):
    norm = nn.BatchNorm2d(channels)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm


def integrated_margin(mean, std, steps=200_000):
    """Mean of the negative numbers, by a sum over small steps."""
    low = min(mean, 0) - 12 * std
    width = -low / steps
    points = [low + (i + 0.5) * width for i in range(steps)]
    densities = [math.exp(-(((x - mean) / std) ** 2) / 2) for x in points]
    return math.fsum(x * d for x, d in zip(points, densities)) / math.fsum(densities)


def naive_ofd(images_S, images_T, margins):
    total = 0.0
    for image_S, image_T in zip(images_S, images_T):
        for channel_S, channel_T, margin in zip(image_S, image_T, margins):
            for row_S, row_T in zip(channel_S, channel_T):
                for s, t in zip(row_S, row_T):
                    t = max(t, margin)
                    if not s <= t <= 0:
                        total += (s - t) ** 2
    return total / len(images_S)


@pytest.mark.parametrize(
    'mean, std', [(0.0, 1.0), (1.5, 0.5), (-2.0, 0.7), (0.3, 2.0), (-5.0, 0.1)]
)
def test_margin_is_the_mean_of_the_negative_numbers(mean, std):
    margin = ofd_margin(*torch.tensor([[mean], [std]], dtype=torch.float64))
    assert margin.item() == pytest.approx(integrated_margin(mean, std), rel=1e-6)


def test_margin_where_next_to_nothing_is_negative():
    # the normal distribution has 0.001 of its numbers below -3.0902 deviations
    mean = torch.tensor([3.08, 3.10, 50.0]) * 2
    margin = ofd_margin(mean, torch.full((3,), 2.0))
    assert margin[1:].tolist() == [-6, -6] and -1 < margin[0] < 0


def test_margin_of_a_constant_channel():
    margin = ofd_margin(torch.tensor([-1.0, 0.0, 1.0]), torch.zeros(3))
    torch.testing.assert_close(margin, torch.tensor([-1.0, 0.0, 0.0]))


def test_against_loops():
    a, b = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64)
    margin = torch.tensor([-0.1, -0.5, -1.0, -2.0], dtype=torch.float64)
    expected = naive_ofd(a.tolist(), b.tolist(), margin.tolist())
    assert ofd_loss(a, b, margin).item() == pytest.approx(expected)


def test_student_below_a_target_that_is_cut_off_is_left_alone():
    a = torch.full((1, 1, 1, 1), -3.0, requires_grad=True)
    loss = ofd_loss(a, torch.full((1, 1, 1, 1), -2.0), torch.tensor([-0.5]))
    loss.backward()
    assert loss == 0 and a.grad == 0


def test_gradient():
    a, b = torch.randn(2, 2, 3, 2, 2, dtype=torch.float64)
    margin = torch.tensor([-0.1, -0.5, -1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda feats: ofd_loss(feats, b, margin), a.requires_grad_()
    )


def test_factors_of_the_stages():
    shapes_S = [(2, 3, 4, 4), (2, 4, 2, 2), (2, 5, 2, 2)]
    shapes_T = [(2, 6, 4, 4), (2, 7, 2, 2), (2, 8, 2, 2)]
    loss, norms = OFDLoss(), [norm_of(c) for c in (6, 7, 8)]
    loss.connect(shapes_S, shapes_T)
    loss.read_norms(norms)
    feats_S, feats_T = [list(map(torch.randn, s)) for s in (shapes_S, shapes_T)]
    parts = [
        ofd_loss(connector(s), t, ofd_margin(norm.bias, norm.weight.abs()))
        for connector, s, t, norm in zip(loss.connectors, feats_S, feats_T, norms)
    ]
    expected = 1e-3 * (parts[0] / 4 + parts[1] / 2 + parts[2])
    torch.testing.assert_close(loss(feats_S, feats_T), expected)


def test_margins_are_buffers_that_no_checkpoint_keeps():
    loss, norm = OFDLoss(), norm_of(4)
    loss.connect([(1, 3, 2, 2)], [(1, 4, 2, 2)])
    loss.read_norms([norm])
    margin = dict(loss.named_buffers())['margin_0']
    torch.testing.assert_close(margin, ofd_margin(norm.bias, norm.weight.abs()))
    assert not margin.requires_grad
    assert not any('margin' in key for key in loss.state_dict())


def test_a_loss_whose_margins_were_not_read_is_nan():
    loss = OFDLoss()
    loss.connect([(2, 3, 2, 2)], [(2, 4, 2, 2)])
    assert loss([torch.randn(2, 3, 2, 2)], [torch.randn(2, 4, 2, 2)]).isnan()


def test_extra_parameters_of_resnet32x4_to_resnet8x4():
    loss = OFDLoss()
    loss.connect(SHAPES_S, SHAPES_S)
    assert sum(p.numel() for p in loss.parameters()) == 86_912


def test_first_weights_have_the_published_deviation():
    loss = OFDLoss()
    loss.connect([(1, 64, 2, 2)], [(1, 256, 2, 2)])
    deviation = loss.connectors[0][0].weight.std().item()
    assert deviation == pytest.approx(math.sqrt(2 / 256), rel=0.05)


@pytest.mark.parametrize(
    'norm',
    [None, nn.BatchNorm2d(4, affine=False), nn.GroupNorm(2, 4), nn.BatchNorm2d(8)],
)
def test_needs_the_teachers_batch_normalisation(norm):
    loss = OFDLoss()
    loss.connect([(1, 3, 2, 2)], [(1, 4, 2, 2)])
    with pytest.raises(
        ValueError,
        match='OFDLoss.layers=.* needs the batch normalisation before the activation '
        "of the teacher's map 0, .* of 4 channels, but there is",
    ):
        loss.read_norms([norm])


def test_maps_of_two_sizes_are_refused():
    with pytest.raises(
        ValueError,
        match=r'OFDLoss.layers=.*one H and W.*\(1, 3, 4, 4\).*\(1, 3, 2, 2\); choose',
    ):
        OFDLoss().connect([(1, 3, 4, 4)], [(1, 3, 2, 2)])
