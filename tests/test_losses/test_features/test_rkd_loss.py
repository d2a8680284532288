"""RKD against plain loops over pairs and triplets, mmrazor, and coinciding samples."""

import math
from itertools import product

import pytest
import torch

from luminet_mm.losses import RKDLoss, rkd_loss
from luminet_mm.registry import MODELS


def smooth_l1(a, b):
    gap = abs(a - b)
    return gap**2 / 2 if gap < 1 else gap - 0.5


def naive_distance(rows_S, rows_T):
    def relative(rows):
        pairs = {
            (i, j): math.dist(rows[i], rows[j])
            for i, j in product(range(len(rows)), repeat=2)
        }
        positive = [d for d in pairs.values() if d > 0]
        return [d / (math.fsum(positive) / len(positive)) for d in pairs.values()]

    gaps = [smooth_l1(s, t) for s, t in zip(relative(rows_S), relative(rows_T))]
    return math.fsum(gaps) / len(gaps)


def naive_angle(rows_S, rows_T):
    def cosine(rows, i, j, k):
        a = [x - y for x, y in zip(rows[j], rows[i])]
        b = [x - y for x, y in zip(rows[k], rows[i])]
        lengths = math.hypot(*a) * math.hypot(*b)
        return math.fsum(x * y for x, y in zip(a, b)) / lengths if lengths else 0.0

    triplets = list(product(range(len(rows_S)), repeat=3))
    return math.fsum(
        smooth_l1(cosine(rows_S, *triplet), cosine(rows_T, *triplet))
        for triplet in triplets
    ) / len(triplets)


@pytest.mark.parametrize('scale', [1e-3, 1.0, 1e3])
def test_against_loops(scale):
    a = scale * torch.randn(6, 3, dtype=torch.float64)
    b = torch.randn(6, 5, dtype=torch.float64)
    rows = a.tolist(), b.tolist()
    distance, angle = naive_distance(*rows), naive_angle(*rows)
    assert rkd_loss(a, b, 1, 0).item() == pytest.approx(distance)
    assert rkd_loss(a, b, 0, 1).item() == pytest.approx(angle)
    assert rkd_loss(a, b).item() == pytest.approx(25 * distance + 50 * angle)


@pytest.mark.parametrize(
    'name, weights', [('DistanceWiseRKD', (1, 0)), ('AngleWiseRKD', (0, 1))]
)
def test_agrees_with_mmrazor(name, weights):
    other = MODELS.build(
        dict(type=f'mmrazor.{name}', with_l2_norm=False, loss_weight=1.0)
    )
    a, b = torch.randn(8, 16), torch.randn(8, 32)
    torch.testing.assert_close(rkd_loss(a, b, *weights), other(a, b))


@pytest.mark.parametrize('weights', [(1.0, 0.0), (0.0, 1.0)])
def test_gradient(weights):
    a = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(5, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda feats: rkd_loss(feats, b, *weights), a)


def test_coinciding_samples_give_a_small_gradient():
    a, b = torch.randn(6, 4), torch.randn(6, 8)
    a[1] = a[0]
    a.requires_grad_()
    loss = rkd_loss(a, b)
    loss.backward()
    assert loss.isfinite()
    assert a.grad.abs().max() < 100


@pytest.mark.parametrize('rows', [1, 4])
def test_one_point_gives_a_gradient_of_zero(rows):
    a = torch.randn(1, 4).expand(rows, 4).clone().requires_grad_()
    loss = rkd_loss(a, torch.randn(rows, 8))
    loss.backward()
    assert loss.isfinite() and (rows > 1 or loss == 0)
    assert a.grad is not None and not a.grad.any()


def test_teacher_of_one_point():
    a = torch.randn(4, 5, requires_grad=True)
    rkd_loss(a, torch.ones(4, 8)).backward()
    assert a.grad.isfinite().all()


def test_small_distances_far_from_the_origin():
    a, b = torch.randn(6, 4).mul(64).round() / 64, torch.randn(6, 8)
    torch.testing.assert_close(rkd_loss(a + 4096, b), rkd_loss(a, b))


def test_does_not_depend_on_place_scale_or_rotation():
    a, b = torch.randn(2, 6, 4, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))
    torch.testing.assert_close(rkd_loss(3 * a @ rotation + 5, b), rkd_loss(a, b))


def test_weights_of_the_parts():
    loss = RKDLoss(distance_weight=2.0, angle_weight=3.0, loss_weight=0.5)
    a, b = torch.randn(6, 4), torch.randn(6, 8)
    expected = rkd_loss(a, b, 1, 0) + 1.5 * rkd_loss(a, b, 0, 1)
    torch.testing.assert_close(loss([a], [b]), expected)
    assert not list(loss.parameters())


@pytest.mark.parametrize('name', ['distance_weight', 'angle_weight'])
def test_negative_weights_are_refused(name):
    with pytest.raises(ValueError, match=f'RKDLoss.{name}=-1 must be .* at least 0'):
        RKDLoss(**{name: -1})


def test_maps_are_refused():
    with pytest.raises(ValueError, match=r'RKDLoss compares vectors \(B, C\)'):
        RKDLoss().connect([(1, 4, 8, 8)], [(1, 4)])
