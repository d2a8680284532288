import math

import numpy as np
import pytest
import torch
from examples import EXAMPLES, truth

from luminet_mm.losses import FGDLoss, fgd_loss
from luminet_mm.losses.features.fgd_loss import attention, scale_masks

# In images of 20x16; a small object in a large one, none, one beside another
BOXES = [
    [[0.0, 1.0, 15.0, 19.0], [2.0, 3.0, 7.0, 9.0]],
    [],
    [[8.0, 8.0, 16.0, 16.0], [0.0, 0.0, 3.5, 3.5]],
]


def naive_masks(boxes, size, image_size):
    """Position after position, from the text of the paper."""
    foreground, background = np.zeros((2, len(boxes), *size))
    high, wide = (pixels / cells for pixels, cells in zip(image_size, size))
    for image, image_boxes in enumerate(boxes):
        smallest = {}
        for x1, y1, x2, y2 in image_boxes:
            touched = [
                (i, j)
                for i in range(size[0])
                for j in range(size[1])
                if i * high < y2 and y1 < (i + 1) * high
                if j * wide < x2 and x1 < (j + 1) * wide
            ]
            for place in touched:
                smallest[place] = min(smallest.get(place, math.inf), len(touched))
        for place, count in smallest.items():
            foreground[(image, *place)] = 1 / count
        rest = size[0] * size[1] - len(smallest)
        for place in np.ndindex(*size):
            if place not in smallest:
                background[(image, *place)] = 1 / rest
    return foreground, background


def softmax(values):
    return np.exp(values) / np.exp(values).sum()


def naive_focal(feat_S, feat_T, boxes, image_size, tau, alpha, beta, gamma):
    (B, C, H, W), total = feat_T.shape, 0
    foreground, background = naive_masks(boxes, (H, W), image_size)
    for b in range(B):
        positions, channels = [], []
        for feat in (feat_S[b], feat_T[b]):
            mean = [[abs(feat[:, i, j]).mean() for j in range(W)] for i in range(H)]
            positions.append(H * W * softmax(np.array(mean) / tau))
            mean = np.array([abs(feat[c]).mean() for c in range(C)])
            channels.append(C * softmax(mean / tau))
        for c, i, j in np.ndindex(C, H, W):
            error = (feat_S[b, c, i, j] - feat_T[b, c, i, j]) ** 2
            error *= positions[1][i, j] * channels[1][c]
            scale = alpha * foreground[b, i, j] + beta * background[b, i, j]
            total += scale * error
        total += gamma * abs(positions[0] - positions[1]).sum()
        total += gamma * abs(channels[0] - channels[1]).sum()
    return total / B


def naive_relation(feat, block):
    """GCNet's block on one image, shape (C, H, W)."""
    weights = {name: w.detach().numpy() for name, w in block.named_parameters()}
    first, norm, last = (f'channel_add_conv.{i}' for i in (0, 1, 3))
    key = np.einsum('c,chw->hw', weights['conv_mask.weight'][0, :, 0, 0], feat)
    context = (feat * softmax(key + weights['conv_mask.bias'])).sum(axis=(1, 2))
    inner = weights[f'{first}.weight'][..., 0, 0] @ context + weights[f'{first}.bias']
    inner = (inner - inner.mean()) / np.sqrt(inner.var() + 1e-5)
    inner = inner * weights[f'{norm}.weight'].ravel() + weights[f'{norm}.bias'].ravel()
    outer = weights[f'{last}.weight'][..., 0, 0] @ np.maximum(inner, 0)
    return feat + (outer + weights[f'{last}.bias'])[:, None, None]


def built(**settings):
    example = EXAMPLES['FGDLoss']
    torch.manual_seed(0)
    loss = FGDLoss(**settings)
    loss.connect(*([(1, *s) for s in shapes] for shapes in example[1:3]))
    loss.double()
    feats = [
        [torch.randn(len(BOXES), *s, dtype=torch.float64) for s in shapes]
        for shapes in example[1:3]
    ]
    return loss, feats[0], feats[1]


@pytest.mark.parametrize('size', [(20, 16), (5, 4), (3, 2), (1, 1)])
def test_masks(size):
    boxes = [torch.tensor(image).view(-1, 4) for image in BOXES]
    masks = scale_masks(boxes, size, (20, 16))
    for mask, expected in zip(masks, naive_masks(BOXES, size, (20, 16))):
        np.testing.assert_allclose(mask.numpy(), expected, rtol=1e-6)


def test_boxes_that_touch_nothing():
    boxes = torch.tensor([[30.0, 3, 40, 9], [4.0, 4.0, 4.0, 8.0]])
    foreground, background = scale_masks([boxes], (5, 4), (20, 16))
    assert not foreground.any() and background.sum().item() == pytest.approx(1)


def test_attention_is_one_on_average_and_sharper_when_cold():
    feat = torch.randn(2, 3, 4, 5)
    for part in attention(feat, 0.5):
        torch.testing.assert_close(part.flatten(1).mean(dim=1), torch.ones(2))
    assert (
        attention(feat, 0.1)[0].amax((1, 2)) > attention(feat, 1)[0].amax((1, 2))
    ).all()


def test_value():
    weights = dict(tau=0.7, alpha=0.3, beta=0.2, gamma=0.5)
    loss, feats_S, feats_T = built(loss_weight=2, lambda_=0.4, **weights)
    for block in (*loss.relations_S, *loss.relations_T):
        for parameter in block.parameters():  # else the blocks add nothing yet
            torch.nn.init.normal_(parameter)
    expected = 0
    for level, feat_T in enumerate(feats_T):
        feat_S = loss.connectors[level](feats_S[level]).detach().numpy()
        feat_T = feat_T.numpy()
        expected += naive_focal(feat_S, feat_T, BOXES, (20, 16), **weights)
        for image_S, image_T in zip(feat_S, feat_T):
            related = (
                naive_relation(image_S, loss.relations_S[level]),
                naive_relation(image_T, loss.relations_T[level]),
            )
            expected += 0.4 * ((related[0] - related[1]) ** 2).sum() / len(BOXES)
    value = loss(feats_S, feats_T, **truth(*BOXES)).item()
    assert value == pytest.approx(2 * expected, rel=1e-6)


def test_blocks_of_both_sides_start_as_the_map_itself():
    loss, feats_S, feats_T = built()
    for block, feat in zip(loss.relations_T, feats_T):
        assert block(feat).equal(feat)
    assert loss.relations_S[0] is not loss.relations_T[0]


def test_gradient():
    torch.manual_seed(0)
    feat_S, feat_T = torch.randn(2, 2, 2, 3, 2, dtype=torch.float64)
    masks = torch.rand(2, 2, 3, 2, dtype=torch.float64)
    torch.autograd.gradcheck(
        lambda s: fgd_loss(s, feat_T, *masks, alpha=0.5, beta=0.2, gamma=0.3),
        feat_S.requires_grad_(),
    )


def test_no_ground_truth_leaves_the_background():
    loss, feats_S, feats_T = built(gamma=0, lambda_=0)
    empty = truth([], [], [])
    value = loss(feats_S, feats_T, **empty)
    assert value > 0
    loss.beta = 0
    assert loss(feats_S, feats_T, **empty) == 0


def test_channels_last_and_unequal_padding():
    loss, feats_S, feats_T = built()
    samples = truth(*BOXES)
    expected = loss(feats_S, feats_T, **samples)
    last = (
        [feat.contiguous(memory_format=torch.channels_last) for feat in feats]
        for feats in (feats_S, feats_T)
    )
    torch.testing.assert_close(loss(*last, **samples), expected)
    feats_T[0] = torch.randn(3, 4, 6, 5, dtype=torch.float64)
    assert loss(feats_S, feats_T, **samples).isfinite()


@pytest.mark.parametrize('name', ['alpha', 'beta', 'gamma', 'lambda_'])
def test_errors(name):
    with pytest.raises(ValueError, match=rf'FGDLoss\.{name}=-1 must be .* at least 0'):
        FGDLoss(**{name: -1})
    with pytest.raises(ValueError, match=r'FGDLoss\.tau=0 must be .* above 0'):
        FGDLoss(tau=0)
