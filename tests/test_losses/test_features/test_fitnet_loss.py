"""FitNet: one mean of squares, and a regressor for each relation of sizes."""

import math

import pytest
import torch

from luminet_mm.losses import FitNetLoss, fitnet_loss
from luminet_mm.registry import MODELS


def connected(shape_S, shape_T, **settings):
    loss = FitNetLoss(**settings)
    loss.connect([shape_S], [shape_T])
    return loss


def test_is_the_mean_of_squared_differences():
    a, b = torch.randn(2, 3, 2, 3, 4, 5, dtype=torch.float64)
    squares = [(s - t) ** 2 for s, t in zip(a.flatten().tolist(), b.flatten().tolist())]
    assert fitnet_loss(a, b).item() == pytest.approx(math.fsum(squares) / len(squares))


def test_agrees_with_mmrazor():
    other = MODELS.build(dict(type='mmrazor.L2Loss', normalize=False, div_element=True))
    a, b = torch.randn(2, 3, 2, 3, 4)
    torch.testing.assert_close(fitnet_loss(a, b), other(a, b))


def test_gradient():
    a, b = torch.randn(2, 2, 3, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: fitnet_loss(s, b), a.requires_grad_())


@pytest.mark.parametrize(
    'size_S, size_T, kernel, stride',
    [
        ((8, 8), (8, 8), (1, 1), (1, 1)),
        ((8, 12), (4, 6), (3, 3), (2, 2)),
        ((4, 6), (8, 12), (4, 4), (2, 2)),
        ((8, 9), (6, 9), (3, 1), (1, 1)),
    ],
)
def test_regressor_brings_each_size_to_the_teachers(size_S, size_T, kernel, stride):
    shape_S, shape_T = (2, 3, *size_S), (2, 5, *size_T)
    regressor = connected(shape_S, shape_T).connectors[0]
    assert (regressor[0].kernel_size, regressor[0].stride) == (kernel, stride)
    mapped = regressor(torch.randn(shape_S))
    assert mapped.shape == shape_T and mapped.min() == 0


def test_half_and_twice_hold_for_images_of_other_sizes():
    for ratio_S, ratio_T in [(1, 2), (2, 1), (1, 1)]:
        loss = connected((1, 3, 4 * ratio_S, 4 * ratio_S), (1, 5, *[4 * ratio_T] * 2))
        feats_S = torch.randn(2, 3, 7 * ratio_S, 11 * ratio_S)
        assert loss([feats_S], [torch.randn(2, 5, 7 * ratio_T, 11 * ratio_T)]) > 0


def test_without_relu_regressor_reaches_negative_numbers():
    loss = connected((2, 3, 4, 4), (2, 5, 4, 4), relu=False)
    assert loss.connectors[0](torch.randn(2, 3, 4, 4)).min() < 0


def test_extra_parameters_of_resnet32x4_to_resnet8x4():
    loss = connected((1, 128, 16, 16), (1, 128, 16, 16))
    assert sum(p.numel() for p in loss.parameters()) == 16_768


def test_sums_over_the_levels_of_a_neck():
    shapes = [(2, 4, size, size) for size in (8, 4, 2, 1)]
    loss = FitNetLoss(layers=[('neck', 'neck')], loss_weight=2.0)
    loss.connect(shapes, shapes)
    feats_S, feats_T = ([torch.randn(s) for s in shapes] for _ in range(2))
    parts = [
        fitnet_loss(regressor(s), t)
        for regressor, s, t in zip(loss.connectors, feats_S, feats_T)
    ]
    torch.testing.assert_close(loss(feats_S, feats_T), 2 * sum(parts))


def test_a_map_that_cannot_be_enlarged_is_refused():
    with pytest.raises(
        ValueError,
        match=r"FitNetLoss.layers=\[\('stages\[1\]'.*cannot enlarge .*\(1, 3, 3, 4\).*"
        r'\(1, 5, 8, 8\); choose layers',
    ):
        connected((1, 3, 3, 4), (1, 5, 8, 8))


def test_images_of_another_size_are_refused_where_taps_depend_on_it():
    loss = connected((1, 3, 8, 8), (1, 5, 6, 6))
    with pytest.raises(ValueError, match=r'one shape.*\(2, 5, 14, 14\).*\(2, 5, 12'):
        loss([torch.randn(2, 3, 16, 16)], [torch.randn(2, 5, 12, 12)])


def test_relu_must_be_a_boolean():
    with pytest.raises(TypeError, match='FitNetLoss.relu=1 must be True or False'):
        FitNetLoss(relu=1)


def test_published_weight():
    assert FitNetLoss().loss_weight == 100
