"""The losses against naive loops in float64, and every edge of their input."""

import math

import pytest
import torch

from luminet_mm.losses import kd_loss, kl_divergence, luminet_loss, perception


def naive_perception(logits, eps=1e-5):
    num_samples, num_classes = logits.shape
    out = torch.zeros(num_samples, num_classes, dtype=torch.float64)
    for j in range(num_classes):
        column = [logits[i, j].item() for i in range(num_samples)]
        mean = math.fsum(column) / num_samples
        var = math.fsum((z - mean) ** 2 for z in column) / num_samples
        for i in range(num_samples):
            out[i, j] = (column[i] - mean) / math.sqrt(var + eps)
    return out


def naive_softmax(row, tau):
    top = max(row)
    exps = [math.exp((z - top) / tau) for z in row]
    return [e / math.fsum(exps) for e in exps]


def naive_kl(logits_S, logits_T, tau):
    values = []
    for row_S, row_T in zip(logits_S.tolist(), logits_T.tolist()):
        p_S, p_T = naive_softmax(row_S, tau), naive_softmax(row_T, tau)
        values.append(math.fsum(t * math.log(t / s) for s, t in zip(p_S, p_T)))
    return torch.tensor(values, dtype=torch.float64)


def naive_luminet(logits_S, logits_T, tau):
    return naive_kl(naive_perception(logits_S), naive_perception(logits_T), tau)


def logits(num_samples, num_classes, seed, scale=3.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(num_samples, num_classes, generator=generator, dtype=dtype) * scale
    )


@pytest.mark.parametrize('shape', [(2, 2), (7, 5), (64, 100), (128, 81)])
def test_perception_is_the_textbook_formula(shape):
    z = logits(*shape, seed=0)
    torch.testing.assert_close(perception(z), naive_perception(z), rtol=1e-10, atol=0)


@pytest.mark.parametrize('tau', [0.7, 1.0, 4.0])
@pytest.mark.parametrize(
    ('dtype', 'rtol'),
    [
        (torch.float64, 1e-9),
        (torch.float32, 2e-4),
        (torch.float16, 2e-4),
        (torch.bfloat16, 2e-4),
    ],
)
def test_losses_equal_a_naive_loop(tau, dtype, rtol):
    """Half precision is rounded on input only: both sides see rounded logits."""
    z_S = logits(16, 10, seed=1).to(dtype)
    z_T = logits(16, 10, seed=2).to(dtype)
    for loss, naive in (
        (luminet_loss, naive_luminet(z_S.double(), z_T.double(), tau)),
        (kl_divergence, naive_kl(z_S.double(), z_T.double(), tau)),
        (kd_loss, naive_kl(z_S.double(), z_T.double(), tau) * tau**2),
    ):
        value = loss(z_S, z_T, tau)
        assert value.dtype == (
            torch.float64 if dtype == torch.float64 else torch.float32
        )
        torch.testing.assert_close(value.double(), naive, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize('loss', [luminet_loss, kd_loss])
def test_gradient(loss):
    z_S = logits(6, 4, seed=3).requires_grad_()
    z_T = logits(6, 4, seed=4)
    assert torch.autograd.gradcheck(lambda z: loss(z, z_T, 2.0), (z_S,))


def test_perception_gradient_with_a_constant_column():
    z = logits(5, 3, seed=5)
    z[:, 1] = 12345.678
    # a larger eps, or finite differences step out of the linear range
    assert torch.autograd.gradcheck(
        lambda z: perception(z, eps=1e-2), (z.requires_grad_(),), atol=1e-4
    )


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_constant_column_is_exactly_zero(dtype):
    z = logits(7, 4, seed=6, dtype=torch.float32)
    z[:, 2] = 123.4567
    h = perception(z.to(dtype).requires_grad_())
    assert (h[:, 2] == 0).all()
    h.sum().backward()


@pytest.mark.parametrize('num_samples', [0, 1])
@pytest.mark.parametrize('loss', [luminet_loss, kd_loss])
def test_empty_batch_and_single_sample(loss, num_samples):
    z_S = logits(num_samples, 5, seed=7).requires_grad_()
    value = loss(z_S, logits(num_samples, 5, seed=8))
    assert value.shape == (num_samples,)
    value.sum().backward()
    assert torch.isfinite(z_S.grad).all()
    if loss is luminet_loss:
        assert (value == 0).all()
        assert (z_S.grad == 0).all()


@pytest.mark.parametrize('loss', [luminet_loss, kd_loss])
@pytest.mark.parametrize('offset', [0.0, 1e4])
def test_large_logits(loss, offset):
    z_S = logits(8, 6, seed=9, scale=1e4) + offset
    z_T = logits(8, 6, seed=10, scale=1e4) + offset
    single_S = z_S.float().requires_grad_()
    value = loss(single_S, z_T.float(), 4.0)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(single_S.grad).all()
    expected = loss(single_S.detach().double(), z_T.float().double(), 4.0)
    torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-5)


def test_perception_ignores_scale_and_shift_of_a_class():
    """What the standardisation is for: a teacher and a student that rank the
    batch alike have the same perception, whatever the size of their logits."""
    z = logits(32, 10, seed=11)
    scale, shift = torch.rand(10, dtype=torch.float64) + 0.5, torch.randn(10).double()
    assert luminet_loss(z * scale + shift, z).max() < 1e-9
    assert kd_loss(z * scale + shift, z).max() > 1e-2


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_autocast_does_not_narrow(dtype):
    z_S = logits(16, 10, seed=12).to(dtype).requires_grad_()
    z_T = logits(16, 10, seed=13).to(dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = luminet_loss(z_S, z_T)
    expected = luminet_loss(z_S.detach().double(), z_T.double())
    torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-6)
    value.sum().backward()
    assert torch.isfinite(z_S.grad).all()
