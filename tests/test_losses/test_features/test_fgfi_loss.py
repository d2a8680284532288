import pytest
import torch
from examples import EXAMPLES, truth

from luminet_mm.losses import FGFILoss, fgfi_loss
from luminet_mm.losses.features.fgfi_loss import near_object_masks

BOXES = [[[2.0, 3.0, 7.0, 9.0], [0.0, 1.0, 15.0, 19.0]], [], [[8.0, 8.0, 16.0, 16.0]]]


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both)


def naive_masks(boxes, anchors):
    """Position after position, from the text of the paper."""
    levels = [
        torch.zeros(len(boxes), *level.shape[:2], dtype=bool) for level in anchors
    ]
    everything = [a for level in anchors for a in level.flatten(0, 2).tolist()]
    for image, image_boxes in enumerate(boxes):
        for box in image_boxes:
            best = max(overlap(anchor, box) for anchor in everything)
            for mask, level in zip(levels, anchors):
                for y, row in enumerate(level.tolist()):
                    for x, here in enumerate(row):
                        if any(overlap(a, box) > 0.5 * best for a in here):
                            mask[image, y, x] = True
    return levels


def anchors_of(loss, *sizes):
    rows = loss.anchor_generator.grid_priors(sizes, device='cpu')
    return [level.view(*size, -1, 4) for level, size in zip(rows, sizes)]


def built(**settings):
    """Two levels of 5x4 and 3x2 positions, strides 4 and 8, for images of 20x16."""
    example = EXAMPLES['FGFILoss']
    torch.manual_seed(0)
    loss = FGFILoss(**{**example.settings, **settings})
    loss.connect(*([(1, *s) for s in shapes] for shapes in example[1:3]))
    feats = [
        [torch.randn(len(BOXES), *shape) for shape in shapes] for shapes in example[1:3]
    ]
    return loss, feats[0], feats[1]


def test_masks():
    anchors = anchors_of(built()[0], (5, 4), (3, 2))
    boxes = [torch.tensor(image).view(-1, 4) for image in BOXES]
    masks = near_object_masks(boxes, anchors)
    for mask, expected in zip(masks, naive_masks(BOXES, anchors)):
        assert mask.equal(expected)
    assert masks[0].any() and masks[1].any() and not masks[0].all()
    assert not any(mask[1].any() for mask in masks)


def test_value():
    loss, feats_S, feats_T = built(loss_weight=3)
    for conv, _ in loss.connectors:  # else almost nothing comes out
        torch.nn.init.normal_(conv.weight, std=0.3)
    masks = naive_masks(BOXES, anchors_of(loss, (5, 4), (3, 2)))
    total = count = 0
    for adapt, feat_S, feat_T, mask in zip(loss.connectors, feats_S, feats_T, masks):
        feat_S = adapt(feat_S).detach()
        for b, y, x in mask.nonzero().tolist():
            count += 1
            for s, t in zip(feat_S[b, :, y, x].tolist(), feat_T[b, :, y, x].tolist()):
                total += (s - t) ** 2
    value = loss(feats_S, feats_T, **truth(*BOXES)).item()
    assert value == pytest.approx(3 * total / (2 * count), rel=1e-5)


def test_gradient():
    torch.manual_seed(0)
    feats = torch.randn(4, 2, 3, 3, 2, dtype=torch.float64)
    masks = torch.rand(2, 2, 3, 2) > 0.5
    torch.autograd.gradcheck(
        lambda s: fgfi_loss(s, feats[2:], masks), feats[:2].requires_grad_()
    )


def test_no_ground_truth_gives_zero_and_a_gradient():
    loss, feats_S, feats_T = built()
    for feat in feats_S:
        feat.requires_grad_()
    value = loss(feats_S, feats_T, **truth([], [], []))
    value.backward()
    assert value == 0
    gradients = [tensor.grad for tensor in (*feats_S, *loss.parameters())]
    assert all(grad is not None and not grad.any() for grad in gradients)


def test_adaptation():
    adapt = built()[0].connectors[1]  # as many channels on both sides
    assert adapt[0].kernel_size == (3, 3) and not adapt[0].bias.any()
    assert adapt[0].weight.std().item() == pytest.approx(1e-4, rel=0.2)
    assert (adapt(torch.randn(1, 4, 3, 2)) >= 0).all()


def test_levels_of_unequal_padding():
    loss, feats_S, feats_T = built()
    feats_T = [torch.randn(3, 4, 6, 5), torch.randn(3, 4, 3, 3)]
    samples = truth(*BOXES)
    assert loss(feats_S, feats_T, **samples).isfinite()


def test_errors():
    with pytest.raises(
        TypeError, match=r'FGFILoss\.anchor_generator=3 must be a config'
    ):
        FGFILoss(anchor_generator=3)
    points = dict(type='MlvlPointGenerator', strides=[4, 8])
    with pytest.raises(
        TypeError, match=r'anchor_generator=.* must be a config of an An'
    ):
        FGFILoss(anchor_generator=points)
    with pytest.raises(ValueError, match=r'strides=\[\(4, 4\), .*gives 2'):
        built(anchor_generator=None)

    wrong = dict(type='AnchorGenerator', scales=[2], ratios=[1], strides=[8, 16])
    loss, feats_S, feats_T = built(anchor_generator=wrong)
    with pytest.raises(
        ValueError, match=r'strides=\[\(8, 8\).* must be those of the le'
    ):
        loss(feats_S, feats_T, **truth(*BOXES))
