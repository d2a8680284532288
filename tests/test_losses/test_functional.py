"""Standardisation along either axis, and what the losses promise beyond a value."""

import naive
import pytest
import torch

from luminet_mm.losses import (
    dist_loss,
    dkd_loss,
    kd_loss,
    logit_standardization_loss,
    luminet_loss,
    perception,
    standardize,
)

AXES = [(perception, naive.perception), (standardize, naive.standardize)]
LINES = {perception: lambda z: z, standardize: lambda z: z.t()}


def logits(num_samples, num_classes, seed, scale=3.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(num_samples, num_classes, generator=generator, dtype=dtype) * scale
    )


@pytest.mark.parametrize(('function', 'textbook'), AXES)
@pytest.mark.parametrize('shape', [(2, 2), (7, 5), (64, 100), (128, 81)])
def test_standardisation_is_the_textbook_formula(function, textbook, shape):
    z = logits(*shape, seed=0)
    torch.testing.assert_close(function(z), textbook(z), rtol=1e-10, atol=0)


def test_gradient_of_a_perception_with_a_constant_class():
    z = logits(5, 5, seed=5)
    z[:, 1] = 12345.678
    # a larger eps, or finite differences step out of the linear range
    assert torch.autograd.gradcheck(
        lambda z: perception(z, eps=1e-2), (z.requires_grad_(),), atol=1e-4
    )


def test_a_sample_of_equal_logits_has_no_gradient():
    z = logits(5, 5, seed=5)
    z[1] = 12345.678
    z.requires_grad_()
    (grad,) = torch.autograd.grad(standardize(z)[:, 0].sum(), z)
    assert (grad[1] == 0).all()
    assert (grad[[0, 2, 3, 4]] != 0).all()


@pytest.mark.parametrize('deviation', [1.0, 0.1, 1e-2, 1e-4])
def test_standardises_the_smallest_deviations(deviation):
    """Down to where the epsilon is as large as the deviation."""
    z = logits(3, 6, seed=9, scale=deviation)
    settings = dict(rtol=1e-10, atol=0)
    torch.testing.assert_close(standardize(z), naive.standardize(z), **settings)
    assert torch.autograd.gradcheck(
        lambda z: standardize(deviation * z, eps=deviation / 10),
        ((z / deviation).requires_grad_(),),
    )


@pytest.mark.parametrize('function', LINES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_constant_line_is_exactly_zero(function, dtype):
    z = logits(81, 81, seed=6, dtype=torch.float32)
    LINES[function](z)[:, 2] = 123.4567
    h = function(z.to(dtype).requires_grad_())
    assert (LINES[function](h)[:, 2] == 0).all()
    h.sum().backward()


@pytest.mark.parametrize('function', LINES)
@pytest.mark.parametrize('length', [0, 1])
def test_nothing_to_standardise(function, length):
    """A batch of one has no perception, a single class no score."""
    z = LINES[function](logits(length, 4, seed=7)).requires_grad_()
    h = function(z)
    assert h.shape == z.shape
    assert (h == 0).all()
    h.sum().backward()
    assert (z.grad == 0).all()


@pytest.mark.parametrize('deviation', [3.0, 0.1, 1e-2, 1e-6])
def test_standardize_is_the_published_code(deviation):
    z = logits(32, 100, seed=8, scale=deviation).requires_grad_()
    weight = logits(32, 100, seed=9)
    published = (z - z.mean(1, keepdim=True)) / (1e-7 + z.std(1, keepdim=True))
    torch.testing.assert_close(standardize(z), published, rtol=1e-11, atol=0)
    got, expected = (
        torch.autograd.grad((h * weight).sum(), z)[0]
        for h in (standardize(z), published)
    )
    scale = expected.abs().max()
    torch.testing.assert_close(got / scale, expected / scale, rtol=0, atol=1e-12)


def test_perception_ignores_scale_and_shift_of_a_class():
    """What the standardisation is for: a teacher and a student that rank the
    batch alike have the same perception, whatever the size of their logits."""
    z = logits(32, 10, seed=11)
    scale, shift = torch.rand(10, dtype=torch.float64) + 0.5, torch.randn(10).double()
    assert luminet_loss(z * scale + shift, z).max() < 1e-9
    assert kd_loss(z * scale + shift, z).max() > 1e-2


def test_logit_standardisation_ignores_scale_and_shift_of_a_sample():
    z = logits(32, 10, seed=11)
    scale, shift = torch.rand(2, 32, 1, dtype=torch.float64) + 0.5
    assert logit_standardization_loss(z * scale + shift, z).max() < 1e-9
    assert kd_loss(z * scale + shift, z).max() > 1e-2


def test_dkd_splits_kd():
    """Eq. 5 and 6 of DKD: beta is what KD lets the teacher's confidence decide."""
    z_S, z_T = logits(16, 10, seed=12), logits(16, 10, seed=13)
    labels = torch.arange(16) % 10
    confidence = (z_T / 4).softmax(1).gather(1, labels[:, None])[:, 0]
    parts = [
        dkd_loss(z_S, z_T, labels, 4.0, alpha, beta) for alpha, beta in ((1, 0), (0, 1))
    ]
    torch.testing.assert_close(
        parts[0] + (1 - confidence) * parts[1], kd_loss(z_S, z_T, 4.0)
    )


def test_dist_is_zero_for_any_linear_relation_of_the_predictions():
    """Halfway to uniform is another distribution, but correlates perfectly."""
    probs = logits(16, 10, seed=14).softmax(1)
    softened = (0.5 * probs + 0.05).log()
    assert dist_loss(softened, probs.log()).max() < 1e-4
    assert kd_loss(softened, probs.log()).min() > 1e-2
