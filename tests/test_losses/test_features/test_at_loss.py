"""Attention transfer against plain loops, mmrazor, and maps of zeros."""

import math

import pytest
import torch

from luminet_mm.losses import ATLoss, at_loss
from luminet_mm.registry import MODELS


def attention(image):
    """One image's channels as lists of rows, to its normalised attention."""
    rows, columns = len(image[0]), len(image[0][0])
    squares = [
        math.fsum(channel[h][w] ** 2 for channel in image) / len(image)
        for h in range(rows)
        for w in range(columns)
    ]
    length = math.sqrt(math.fsum(q**2 for q in squares))
    return [q / length for q in squares]


def halved(image):
    """Means of 2x2 cells."""
    return [
        [
            [
                sum(channel[2 * h + i][2 * w + j] for i in (0, 1) for j in (0, 1)) / 4
                for w in range(len(channel[0]) // 2)
            ]
            for h in range(len(channel) // 2)
        ]
        for channel in image
    ]


def naive_at(images_S, images_T):
    squares = [
        (s - t) ** 2
        for image_S, image_T in zip(images_S, images_T)
        for s, t in zip(attention(image_S), attention(image_T))
    ]
    return math.fsum(squares) / len(squares)


def test_against_loops():
    a = torch.randn(3, 4, 5, 6, dtype=torch.float64)
    b = torch.randn(3, 7, 5, 6, dtype=torch.float64)
    assert at_loss(a, b).item() == pytest.approx(naive_at(a.tolist(), b.tolist()))


def test_the_larger_map_is_pooled():
    large = torch.randn(3, 4, 4, 6, dtype=torch.float64)
    small = torch.randn(3, 7, 2, 3, dtype=torch.float64)
    pooled = [halved(image) for image in large.tolist()]
    expected = pytest.approx(naive_at(pooled, small.tolist()))
    assert at_loss(large, small).item() == expected
    assert at_loss(small, large).item() == expected


def test_agrees_with_mmrazor():
    other = MODELS.build(dict(type='mmrazor.ATLoss'))
    a, b = torch.randn(3, 4, 5, 6), torch.randn(3, 7, 5, 6)
    torch.testing.assert_close(at_loss(a, b), other(a, b))


@pytest.mark.parametrize('size', [(3, 4), (6, 4)])
def test_gradient(size):
    a = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    b = torch.randn(2, 4, 3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda feats: at_loss(feats, b), a)


def test_a_map_of_zeros_gives_a_number_and_no_gradient():
    a, b = torch.randn(2, 2, 3, 4, 4)
    a[0] = 0
    a.requires_grad_()
    loss = at_loss(a, b)
    loss.backward()
    assert loss.isfinite() and a.grad.isfinite().all()
    assert not a.grad[0].any() and a.grad[1].any()


def test_does_not_depend_on_the_maps_scale():
    a, b = torch.randn(2, 2, 3, 4, 4)
    torch.testing.assert_close(at_loss(1e4 * a, b), at_loss(a, 1e-3 * b))


def test_channels_last_maps():
    a, b = torch.randn(2, 2, 3, 4, 5)
    last = a.to(memory_format=torch.channels_last)
    torch.testing.assert_close(at_loss(last, b), at_loss(a, b))


def test_sums_over_stages_with_the_published_weight():
    feats_S = [torch.randn(2, 3, size, size) for size in (8, 4, 2)]
    feats_T = [torch.randn(2, 5, size, size) for size in (8, 4, 2)]
    loss = ATLoss()
    loss.connect([f.shape for f in feats_S], [f.shape for f in feats_T])
    expected = 1000 * sum(at_loss(s, t) for s, t in zip(feats_S, feats_T))
    torch.testing.assert_close(loss(feats_S, feats_T), expected)
    assert not list(loss.parameters())
