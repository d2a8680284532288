"""The kernels against the formulas in float64: on a GPU, or in Triton's interpreter.

Run by test_fused_gpu.py, in a process of its own.
"""

import pytest
import torch

from luminet_mm.losses import dkd_loss, functional, fused, kd_loss, luminet_loss
from luminet_mm.losses.fused import gpu, launches

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
pytestmark = [pytest.mark.gpu] if DEVICE == 'cuda' else []
SHAPES = [(1, 4), (2, 2), (7, 5), (64, 100), (300, 30), (3, 300)]
LOSSES = dict(
    luminet=(luminet_loss, [{}, dict(tau=0.3, eps=1e-2)]),
    kd=(kd_loss, [{}, dict(tau=1.0)]),
    dkd=(dkd_loss, [{}, dict(tau=1.0, alpha=0.5, beta=0.0)]),
)
CASES = [(name, kwargs) for name, (_, each) in LOSSES.items() for kwargs in each]


@pytest.fixture(autouse=True)
def taken(monkeypatch):
    """The names of the operators that were taken."""
    names, find = [], gpu.find

    def watched(name, *inputs):
        operator = find(name, *inputs)
        if operator:
            names.append(name)
        return operator

    monkeypatch.setattr(gpu, 'find', watched)
    monkeypatch.setitem(fused.DEVICES, DEVICE, gpu)
    monkeypatch.setattr(gpu, '_proven', {})
    return names


def batch(num_samples, num_classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z_S, z_T, weight = torch.randn(3, num_samples, num_classes, generator=generator)
    labels = torch.randint(num_classes, (num_samples,), generator=generator)
    inputs = 5 * z_S + 20, 3 * z_T - 7, labels, weight[:, 0]
    return [each.to(DEVICE) for each in inputs]


def value_and_gradient(name, z_S, z_T, labels, weight, **settings):
    z_S = z_S.detach().clone().requires_grad_()
    targets = [labels] if name == 'dkd' else []
    values = LOSSES[name][0](z_S, z_T, *targets, **settings)
    (grad,) = torch.autograd.grad(values @ weight, z_S)
    return values.detach(), grad


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize(('name', 'settings'), CASES)
def test_equals_the_formula(name, settings, shape, taken):
    z_S, z_T, labels, weight = batch(*shape)
    expected = value_and_gradient(
        name, z_S.double(), z_T.double(), labels, weight.double(), **settings
    )
    assert not taken
    got = value_and_gradient(name, z_S, z_T, labels, weight, **settings)
    assert taken == [name]
    for ours, plain in zip(got, expected):
        assert ours.dtype == torch.float32
        scale = max(1.0, float(plain.abs().max()))
        torch.testing.assert_close(
            ours.double() / scale, plain / scale, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize('name', LOSSES)
def test_the_teachers_own_logits_cost_nothing(name, taken):
    z_S, _, labels, weight = batch(33, 20)
    value, grad = value_and_gradient(name, z_S, z_S, labels, weight)
    assert taken == [name]
    assert not value.any()
    assert not grad.any()


def test_odd_columns_equal_the_formulas():
    """A class without variance, one with an outlier, and large logits."""
    z_S, z_T, labels, weight = batch(300, 10)
    z_S[:, 1], z_T[:, 2], z_S[0, 3] = 12345.678, -3.3, 1e4
    z_S[:, 4] += 1e4
    got = value_and_gradient('luminet', z_S, z_T, labels, weight)
    z_S.requires_grad_()
    plain = functional._luminet(z_S, z_T, 1.0, 1e-5)
    (grad,) = torch.autograd.grad(plain @ weight, z_S)
    for ours, theirs in zip(got, (plain.detach(), grad)):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', LOSSES)
def test_takes_what_does_not_lie_in_order(name):
    """Logits, labels, and the gradient of a mean, which is one number seen N times."""
    z_S, z_T, labels, weight = batch(9, 6)
    mean = torch.full((9,), 1 / 9, device=DEVICE)
    expected = value_and_gradient(name, z_S, z_T, labels, mean)
    apart = [z.t().contiguous().t() for z in (z_S, z_T)]
    every_other = torch.stack([labels, labels], dim=1)[:, 0]
    seen = torch.tensor(1 / 9, device=DEVICE).expand(9)
    assert not any(each.is_contiguous() for each in (*apart, every_other, seen))
    leaf = apart[0].requires_grad_()
    targets = [every_other] if name == 'dkd' else []
    values = LOSSES[name][0](leaf, apart[1], *targets)
    (grad,) = torch.autograd.grad(values, leaf, seen)
    torch.testing.assert_close(values, expected[0])
    torch.testing.assert_close(grad, expected[1])


@pytest.mark.parametrize('name', LOSSES)
def test_second_derivative_is_the_formulas(name, taken):
    z_S, z_T, labels, _ = batch(5, 4)
    loss, targets = LOSSES[name][0], [labels] if name == 'dkd' else []

    def second(z_S, z_T):
        z_S = (z_S / 5).requires_grad_()
        values = loss(z_S, z_T / 3, *targets, tau=2.0)
        (grad,) = torch.autograd.grad(values.square().sum(), z_S, create_graph=True)
        (second,) = torch.autograd.grad(grad.square().sum(), z_S)
        return second

    expected = second(z_S.double(), z_T.double())
    assert expected.abs().max() > 1e-3
    got = second(z_S, z_T).double()
    assert taken == [name]
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('wrong', [float('nan'), float('inf')])
@pytest.mark.parametrize('name', LOSSES)
def test_shows_what_is_not_a_number(name, wrong, taken):
    z_S, z_T, labels, weight = batch(4, 3)
    value_and_gradient(name, z_S, z_T, labels, weight)  # proven
    z_S[2, 1] = wrong
    values, grad = value_and_gradient(name, z_S, z_T, labels, weight)
    assert taken == [name] * 2
    assert values.isnan().any()
    assert grad.isnan().any()


@pytest.mark.parametrize('name', LOSSES)
def test_what_is_not_a_number_proves_nothing(name, taken):
    z_S, z_T, labels, weight = batch(4, 3)
    wrong = z_S.clone().fill_(float('nan'))
    assert value_and_gradient(name, wrong, z_T, labels, weight)[0].isnan().all()
    assert not taken
    value_and_gradient(name, z_S, z_T, labels, weight)
    assert taken == [name]


@pytest.mark.parametrize('label', [-1, 3, 255])
def test_a_label_that_is_no_column_gives_no_number(label, taken):
    z_S, z_T, labels, weight = batch(4, 3)
    value_and_gradient('dkd', z_S, z_T, labels, weight)
    labels[2] = label
    values, grad = value_and_gradient('dkd', z_S, z_T, labels, weight)
    assert taken == ['dkd'] * 2
    assert values.isnan().tolist() == [False, False, True, False]
    assert grad[2].isnan().all()


def test_leaves_to_the_formula_what_it_cannot_do(taken):
    z_S, z_T, _, weight = batch(3, 4)
    luminet_loss(z_S.half(), z_T.half())
    assert taken == ['luminet']  # widened first
    luminet_loss(z_S.double(), z_T.double())
    kd_loss(z_S[:0], z_T[:0])
    wide = torch.zeros(1, gpu.MAX_CLASSES + 1, device=DEVICE)
    kd_loss(wide, wide)
    torch.func.vmap(kd_loss)(z_S[None], z_T[None])
    plain = torch.func.grad(lambda z: luminet_loss(z, z_T) @ weight)(z_S)
    torch.compile(luminet_loss, backend='eager', fullgraph=True)(z_S, z_T)
    kd_loss(z_S, z_T.requires_grad_()).sum().backward()
    assert (z_T.grad != 0).any()
    assert taken == ['luminet']
    z_T = z_T.detach()
    expected = value_and_gradient('luminet', z_S, z_T, None, weight)
    torch.testing.assert_close(plain, expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ('fault', 'message'),
    [(0.5, 'they give other numbers'), (None, 'TypeError: ')],
)
def test_a_fault_leaves_the_formula(fault, message, taken, monkeypatch):
    """It is found in the first call for a number of classes, and told once."""
    log = []
    monkeypatch.setattr(gpu, 'print_log', lambda text, **_: log.append(text))
    scale = launches.OPERATORS['kd'].backward
    operator = fused.Operator(
        launches.OPERATORS['kd'].forward,
        lambda *inputs: scale(*inputs) * fault,
    )
    monkeypatch.setitem(launches.OPERATORS, 'kd', operator)
    inputs = batch(8, 5)
    got = value_and_gradient('kd', *inputs)
    value_and_gradient('kd', *inputs)
    assert not taken
    (text,) = log
    start = "The loss 'kd' of 5 classes is computed without the kernels for GPUs"
    assert text.startswith(f'{start}, which is slower: {message}')
    expected = value_and_gradient('kd', *(each.double() for each in inputs))
    for ours, plain in zip(got, expected):
        torch.testing.assert_close(ours.double(), plain, rtol=1e-4, atol=1e-5)
