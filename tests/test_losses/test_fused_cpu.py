"""The compiled operator against the plain formula in float64, and its absence."""

import pytest
import torch

from luminet_mm.losses import luminet_loss
from luminet_mm.losses.fused import Operator, cpu

# the last two are shared out among threads
SHAPES = [(0, 3), (1, 4), (2, 1), (7, 5), (64, 100), (300, 81), (20, 2000)]


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def batch(num_samples, num_classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z_S, z_T, weight = torch.randn(3, num_samples, num_classes, generator=generator)
    return 5 * z_S + 20, 3 * z_T - 7, weight[:, 0]


def value_and_gradient(z_S, z_T, weight, **settings):
    z_S = z_S.clone().requires_grad_()
    values = luminet_loss(z_S, z_T, **settings)
    (grad,) = torch.autograd.grad(values @ weight, z_S)
    return values.detach(), grad


def test_it_was_compiled():
    """Else `make install` found no compiler, and the tests below test nothing."""
    assert cpu.COMPILED
    assert cpu.find('luminet') is cpu.LUMINET


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('settings', [{}, dict(tau=4.0), dict(tau=0.3, eps=1e-2)])
def test_equals_the_plain_formula(shape, settings):
    z_S, z_T, weight = batch(*shape)
    expected = value_and_gradient(
        z_S.double(), z_T.double(), weight.double(), **settings
    )
    for got, plain in zip(value_and_gradient(z_S, z_T, weight, **settings), expected):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), plain, rtol=1e-4, atol=1e-5)


def test_equals_itself_without_the_operator(monkeypatch):
    """A class without variance, one with an outlier, and large logits."""
    z_S, z_T, weight = batch(256, 10)
    z_S[:, 1], z_T[:, 2], z_S[0, 3] = 12345.678, -3.3, 1e4
    z_S[:, 4] += 1e4
    compiled = value_and_gradient(z_S, z_T, weight)
    monkeypatch.setattr(cpu, 'COMPILED', False)
    for got, plain in zip(compiled, value_and_gradient(z_S, z_T, weight)):
        torch.testing.assert_close(got, plain, rtol=1e-4, atol=1e-4)


def test_takes_transposed_logits():
    z_S, z_T, weight = batch(9, 6)
    apart = z_S.t().contiguous().t(), z_T.t().contiguous().t()
    assert not apart[0].is_contiguous()
    for got, plain in zip(
        value_and_gradient(*apart, weight), value_and_gradient(z_S, z_T, weight)
    ):
        assert torch.equal(got, plain)


@pytest.mark.parametrize('power', [1, 2])  # the first hands a constant gradient down
def test_second_derivative_is_the_plain_formulas(power):
    """Of a gradient penalty, whose gradient the operator alone cannot make."""
    z_S, z_T, _ = batch(5, 4)
    z_S, z_T = z_S / 5, z_T / 3

    def penalty_gradient(z_S, z_T):
        z_S = z_S.clone().requires_grad_()
        loss = luminet_loss(z_S, z_T, tau=2.0).pow(power).sum()
        (grad,) = torch.autograd.grad(loss, z_S, create_graph=True)
        (second,) = torch.autograd.grad(grad.square().sum(), z_S)
        return grad.detach(), second

    expected = penalty_gradient(z_S.double(), z_T.double())
    for got, plain in zip(penalty_gradient(z_S, z_T), expected):
        assert plain.abs().max() > 1e-3
        torch.testing.assert_close(got.double(), plain, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('wrong', [float('nan'), float('inf')])
def test_shows_what_is_not_a_number(wrong):
    z_S, z_T, weight = batch(4, 3)
    z_S[2, 1] = wrong
    values, grad = value_and_gradient(z_S, z_T, weight)
    assert values.isnan().all()
    assert grad.isnan().any()


@pytest.mark.parametrize('shape', [(4, 5), (3, 6), (15,)])
def test_refuses_another_shape(shape):
    with pytest.raises(RuntimeError, match=r'one shape \(samples, classes\), got \[3'):
        luminet_loss(torch.zeros(3, 5), torch.zeros(shape))


def test_leaves_to_the_plain_formula_what_it_cannot_do(monkeypatch):
    z_S, z_T, weight = batch(3, 4)
    _, expected = value_and_gradient(z_S, z_T, weight)

    def forward(*inputs):
        raise AssertionError('the operator was taken')

    monkeypatch.setattr(cpu, 'LUMINET', Operator(forward, cpu.LUMINET.backward))
    with pytest.raises(AssertionError, match='the operator was taken'):
        luminet_loss(z_S, z_T)
    luminet_loss(z_S.double(), z_T.double())
    luminet_loss(z_S.to('meta'), z_T.to('meta'))
    torch.func.vmap(luminet_loss)(z_S[None], z_T[None])
    grad = torch.func.grad(lambda z: luminet_loss(z, z_T) @ weight)(z_S)
    torch.testing.assert_close(grad, expected, rtol=1e-4, atol=1e-5)
    torch.compile(luminet_loss, backend='eager', fullgraph=True)(z_S, z_T)
    z_T.requires_grad_()
    luminet_loss(z_S, z_T).sum().backward()
    assert (z_T.grad != 0).any()


def test_an_operator_of_another_torch_is_not_used(monkeypatch, tmp_path):
    (tmp_path / 'losses' / 'fused').mkdir(parents=True)
    file = tmp_path / 'losses' / 'fused' / 'cpu.py'
    monkeypatch.setattr(cpu, '__file__', str(file))
    assert not cpu._load()
    (tmp_path / '_C_torch0_4.so').touch()
    with pytest.warns(UserWarning, match='not for this torch'):
        assert not cpu._load()
