"""ReviewKD: the whole fusion once more in numpy, poolings by loops, connectors."""

import math

import numpy as np
import pytest
import torch

from luminet_mm.losses import ReviewKDLoss, hierarchical_context_loss


def bins(size, count):
    """Rows of a map of ``size`` in each of ``count`` cells of its pooling."""
    return [
        range(i * size // count, math.ceil((i + 1) * size / count))
        for i in range(count)
    ]


def pool(maps, size):
    cells = [
        [
            maps[:, :, list(h)][..., list(w)].mean((2, 3))
            for w in bins(maps.shape[3], size)
        ]
        for h in bins(maps.shape[2], size)
    ]
    return np.moveaxis(np.array(cells), (0, 1), (2, 3))


def naive_hcl(a, b):
    versions = [(a, b)]
    versions += [(pool(a, n), pool(b, n)) for n in (4, 2, 1) if n < min(a.shape[2:])]
    weights = [0.5**i for i in range(len(versions))]
    errors = [((a - b) ** 2).mean() for a, b in versions]
    return np.dot(weights, errors) / sum(weights)


def normalised(maps, norm):
    mean, var = maps.mean((0, 2, 3)), maps.var((0, 2, 3))
    scale = norm.weight.detach().numpy() / np.sqrt(var + norm.eps)
    shift = norm.bias.detach().numpy() - scale * mean
    return maps * scale[:, None, None] + shift[:, None, None]


def convolved(maps, weight):
    """A convolution that keeps the size, as a sum over its taps."""
    weight = weight.detach().numpy()
    reach, (height, width) = weight.shape[2] // 2, maps.shape[2:]
    padded = np.pad(maps, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    return sum(
        np.einsum(
            'oc,bchw->bohw',
            weight[:, :, i, j],
            padded[..., i:, j:][..., :height, :width],
        )
        for i in range(weight.shape[2])
        for j in range(weight.shape[3])
    )


def resized(maps, size):
    """Nearest neighbour."""
    rows, columns = (
        [i * old // new for i in range(new)] for old, new in zip(maps.shape[2:], size)
    )
    return maps[:, :, rows][..., columns]


def naive_review(connectors, feats_S, feats_T):
    total, above = 0.0, None
    for level in range(len(feats_S))[::-1]:
        fusion = connectors[level]
        map_S, map_T = (
            f.reshape(*f.shape, 1, 1) if f.ndim == 2 else f
            for f in (feats_S[level].numpy(), feats_T[level].numpy())
        )
        x = normalised(convolved(map_S, fusion.reduce[0].weight), fusion.reduce[1])
        if above is not None:
            above = resized(above, x.shape[2:])
            z = convolved(np.concatenate([x, above], 1), fusion.attend.weight)
            z = z + fusion.attend.bias.detach().numpy()[:, None, None]
            z = 1 / (1 + np.exp(-z))
            x = x * z[:, [0]] + above * z[:, [1]]
        above = resized(x, map_T.shape[2:])
        y = normalised(convolved(above, fusion.expand[0].weight), fusion.expand[1])
        total += naive_hcl(y, map_T)
    return total


def connected(shapes_S, shapes_T, **settings):
    loss = ReviewKDLoss(**settings)
    loss.connect(shapes_S, shapes_T)
    return loss


@pytest.mark.parametrize(
    'size', [(9, 7), (8, 8), (5, 4), (4, 4), (3, 9), (2, 2), (1, 1), (1, 6)]
)
def test_hierarchical_context_loss_against_numpy(size):
    a, b = torch.randn(2, 2, 3, *size, dtype=torch.float64)
    expected = pytest.approx(naive_hcl(a.numpy(), b.numpy()))
    assert hierarchical_context_loss(a, b).item() == expected


def test_weights_of_the_poolings():
    # a constant difference has one squared error at each size: the weights add to 1
    a = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(hierarchical_context_loss(a + 2, a), torch.tensor(4.0))
    # one that poolings to 4, 2 and 1 cancel remains with its own weight only
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(2, 3, 8, 8)
    torch.testing.assert_close(
        hierarchical_context_loss(a + stripes, a), torch.tensor(1 / 1.875)
    )


@pytest.mark.parametrize('size', [8, 3, 1])
def test_gradient(size):
    a, b = torch.randn(2, 1, 2, size, size, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda feats: hierarchical_context_loss(feats, b), a.requires_grad_()
    )


@pytest.mark.parametrize(
    'shapes_S, shapes_T',
    [
        # a classifier; the student's sizes are the teacher's
        (
            [(3, 4, 8, 8), (3, 5, 4, 4), (3, 6)],
            [(3, 7, 8, 8), (3, 8, 4, 4), (3, 9)],
        ),
        # sizes differ, up and down
        (
            [(3, 4, 6, 9), (3, 5, 3, 4), (3, 6)],
            [(3, 7, 12, 5), (3, 8, 2, 3), (3, 9)],
        ),
        # a neck
        (
            [(2, 4, 9, 13), (2, 4, 5, 7), (2, 4, 3, 4)],
            [(2, 6, 9, 13), (2, 6, 5, 7), (2, 6, 3, 4)],
        ),
    ],
)
def test_whole_loss_against_numpy(shapes_S, shapes_T):
    loss = connected(shapes_S, shapes_T, loss_weight=3.0).double()
    for parameter in loss.parameters():  # norms that do nothing would hide mistakes
        torch.nn.init.normal_(parameter)
    feats_S, feats_T = (
        [torch.randn(shape, dtype=torch.float64) for shape in shapes]
        for shapes in (shapes_S, shapes_T)
    )
    expected = 3 * naive_review(loss.connectors, feats_S, feats_T)
    assert loss(feats_S, feats_T).item() == pytest.approx(expected)


def test_the_term_of_a_level_reaches_that_and_the_deeper_ones():
    shapes = [(2, 4, 4, 4), (2, 4, 2, 2), (2, 4)]
    loss = connected(shapes, shapes)
    feats = [torch.randn(shape, requires_grad=True) for shape in shapes]
    fused = None
    reached = []
    for fusion, feat in list(zip(loss.connectors, feats))[::-1]:
        feat = feat if feat.dim() == 4 else feat[..., None, None]
        mapped, fused = fusion(feat, fused, feat.shape[2:])
        grads = torch.autograd.grad(
            mapped.square().sum(), feats, retain_graph=True, allow_unused=True
        )
        reached.append([grad is not None for grad in grads])
    assert reached == [[False, False, True], [False, True, True], [True] * 3]


def test_extra_parameters_of_resnet32x4_to_resnet8x4():
    shapes = [(1, 64, 32, 32), (1, 128, 16, 16), (1, 256, 8, 8), (1, 256)]
    loss = connected(shapes, shapes)
    assert sum(p.numel() for p in loss.parameters()) == 1_808_774


@pytest.mark.parametrize(
    'deepest, settings, mid',
    [(16, {}, 16), (520, {}, 512), (16, {'mid_channels': 8}, 8)],
)
def test_channels_of_the_fused_maps(deepest, settings, mid):
    loss = connected([(1, 4, 2, 2), (1, deepest)], [(1, 4, 2, 2), (1, 4)], **settings)
    for fusion, channels in zip(loss.connectors, (4, deepest)):
        assert fusion.reduce[0].weight.shape == (mid, channels, 1, 1)
        assert fusion.expand[0].weight.shape == (4, mid, 3, 3)
    assert loss.connectors[0].attend.weight.shape == (2, 2 * mid, 1, 1)
    assert loss.connectors[1].attend is None


def test_first_weights_are_kaiming_uniform():
    loss = connected([(1, 64, 2, 2)], [(1, 128, 2, 2)])
    for module, fan_in in [('reduce', 64), ('expand', 64 * 9)]:
        weight = getattr(loss.connectors[0], module)[0].weight
        bound = math.sqrt(3 / fan_in)
        assert 0.95 * bound < weight.abs().max() <= bound


def test_five_levels_of_a_neck_are_all_trained():
    shapes = [(2, 8, size, size + 1) for size in (16, 8, 4, 2, 1)]
    loss = connected(shapes, shapes, layers=[('neck', 'neck')], mid_channels=4)
    feats_S, feats_T = (list(map(torch.randn, shapes)) for _ in range(2))
    loss(feats_S, feats_T).backward()
    assert all(p.grad is not None and p.grad.any() for p in loss.parameters())


@pytest.mark.parametrize('value', [0, 2.5, '256'])
def test_mid_channels_must_be_an_integer_above_zero(value):
    with pytest.raises(
        (TypeError, ValueError),
        match='ReviewKDLoss.mid_channels=.* must be an integer above 0',
    ):
        ReviewKDLoss(mid_channels=value)
