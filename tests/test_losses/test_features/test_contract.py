"""What every loss of features must do, whichever it is."""

import inspect

import pytest
import torch
from examples import EXAMPLES

from luminet_mm.losses.features import FeatureLoss
from luminet_mm.registry import MODELS

MODELS.import_from_location()
LOSSES = sorted(
    name
    for name, module in MODELS.module_dict.items()
    if inspect.isclass(module) and issubclass(module, FeatureLoss)
)
BATCH = 4


def build(name, dtype=torch.float32, **settings):
    """The loss with its connectors, and features and context of a batch."""
    example = EXAMPLES[name]
    torch.manual_seed(0)
    loss = MODELS.get(name)(**{**example.settings, **settings})
    loss.connect(
        [(1, *shape) for shape in example.shapes_S],
        [(1, *shape) for shape in example.shapes_T],
    )
    loss.read_norms([torch.nn.BatchNorm2d(shape[0]) for shape in example.shapes_T])
    loss.to(dtype)
    feats_S, feats_T = (
        [torch.randn(BATCH, *shape, dtype=dtype) for shape in shapes]
        for shapes in (example.shapes_S, example.shapes_T)
    )
    return loss, feats_S, feats_T, example.context(BATCH)


def value(name, **settings):
    loss, feats_S, feats_T, context = build(name, **settings)
    torch.manual_seed(1)
    return loss(feats_S, feats_T, **context)


@pytest.mark.parametrize('name', LOSSES)
class TestContract:
    def test_is_a_finite_number_above_zero(self, name):
        loss = value(name)
        assert loss.shape == () and loss.isfinite() and loss > 0

    def test_weight(self, name):
        own = value(name)
        weight = MODELS.get(name)(**EXAMPLES[name].settings).loss_weight
        assert value(name, loss_weight=0) == 0
        twice = value(name, loss_weight=2 * weight)
        torch.testing.assert_close(twice, 2 * own)

    def test_gradient_reaches_student_and_connectors_but_never_the_teacher(self, name):
        loss, feats_S, feats_T, context = build(name)
        for feat in (*feats_S, *feats_T):
            feat.requires_grad_()
        loss(feats_S, feats_T, **context).backward()
        assert all(feat.grad is not None and feat.grad.any() for feat in feats_S)
        assert all(feat.grad is None for feat in feats_T)
        for path, parameter in loss.named_parameters():
            assert parameter.grad is not None, path

    def test_is_float32_whatever_the_features_are(self, name):
        loss, feats_S, feats_T, context = build(name)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            half = loss(
                [feat.bfloat16() for feat in feats_S],
                [feat.bfloat16() for feat in feats_T],
                **context,
            )
        assert half.dtype == torch.float32 and half.isfinite()

    def test_order_of_channels_in_memory_does_not_matter(self, name):
        loss, feats_S, feats_T, context = build(name)
        torch.manual_seed(1)
        usual = loss.eval()(feats_S, feats_T, **context)
        loss, *_ = build(name)
        feats_S, feats_T = (
            [
                feat.contiguous(memory_format=torch.channels_last)
                if feat.dim() == 4
                else feat
                for feat in feats
            ]
            for feats in (feats_S, feats_T)
        )
        torch.manual_seed(1)
        torch.testing.assert_close(loss.eval()(feats_S, feats_T, **context), usual)

    def test_float64_stays_float64(self, name):
        loss, feats_S, feats_T, context = build(name, dtype=torch.float64)
        assert loss(feats_S, feats_T, **context).dtype == torch.float64

    def test_other_numbers_of_axes_are_refused(self, name):
        example = EXAMPLES[name]
        loss = MODELS.get(name)(**example.settings)
        with pytest.raises(ValueError, match=r'layers.*compares'):
            loss.connect([(1, 2, 3)] * len(example.shapes_S), [(1, 2, 3)])
