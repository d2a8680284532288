"""The kernels of :mod:`.gpu`, in Triton.

With the perceptions h of the student and k of the teacher (or their logits, for losses
that do not standardise), both divided by tau, their softmaxes p and q, and the gradient
g_i of the loss of row i,

    loss_i = sum_j q_ij (k_ij - h_ij) + logsumexp(h_i) - logsumexp(k_i)
    G_ij   = g_i (p_ij - q_ij) / tau

is the gradient of what was standardised, so that all the backward pass needs is
(p - q) / tau, written down meanwhile. From there a perception's gradient goes on to
logits z, with h = tau h_ij of unit variance,

    dz_ij  = (G_ij - mean_i(G_ij) - h mean_i(G_ij h)) / sigma_j

Matrices are (N, C), contiguous, float32. A program computes a tile of ROWS x COLS.
"""

import triton
import triton.language as tl


@triton.jit
def column_moments(
    preds_S, preds_T, moments, N, C, eps, ROWS: tl.constexpr, COLS: tl.constexpr
):
    """Mean and 1 / sigma of the student's classes, then of the teacher's: (4, C).

    Means count from the first row, which keeps a constant class exactly zero and large
    logits exact. Each place of the tile goes down its rows by Welford's method; the
    places are joined at the end.
    """
    cols = tl.program_id(0) * COLS + tl.arange(0, COLS)
    exists = cols < C
    first_S = tl.load(preds_S + cols, mask=exists, other=0.0)
    first_T = tl.load(preds_T + cols, mask=exists, other=0.0)
    count = tl.zeros([ROWS, COLS], tl.float32)
    mean_S = tl.zeros([ROWS, COLS], tl.float32)
    mean_T = tl.zeros([ROWS, COLS], tl.float32)
    squares_S = tl.zeros([ROWS, COLS], tl.float32)
    squares_T = tl.zeros([ROWS, COLS], tl.float32)
    for start in range(0, N, ROWS):
        rows = start + tl.arange(0, ROWS)
        inside = (rows < N)[:, None] & exists[None, :]
        at = rows[:, None] * C + cols[None, :]
        z_S = tl.load(preds_S + at, mask=inside, other=0.0) - first_S[None, :]
        z_T = tl.load(preds_T + at, mask=inside, other=0.0) - first_T[None, :]
        count += tl.where(inside, 1.0, 0.0)
        mean_S, squares_S = _add(z_S, inside, count, mean_S, squares_S)
        mean_T, squares_T = _add(z_T, inside, count, mean_T, squares_T)
    all_S, scale_S = _join(count, mean_S, squares_S, N, eps)
    all_T, scale_T = _join(count, mean_T, squares_T, N, eps)
    tl.store(moments + cols, all_S, mask=exists)
    tl.store(moments + C + cols, scale_S, mask=exists)
    tl.store(moments + 2 * C + cols, all_T, mask=exists)
    tl.store(moments + 3 * C + cols, scale_T, mask=exists)


@triton.jit
def _add(z, inside, count, mean, squares):
    """One value more for each place: its mean and its squared distances from it."""
    before = z - mean
    mean += tl.where(inside, before / count, 0.0)
    squares += tl.where(inside, before * (z - mean), 0.0)
    return mean, squares


@triton.jit
def _join(count, mean, squares, N, eps):
    """Mean and 1 / sigma of the columns of all places."""
    joint = tl.sum(count * mean, 0) / N
    apart = mean - joint[None, :]
    var = tl.sum(squares + count * apart * apart, 0) / N
    return joint, 1.0 / tl.sqrt(var + eps)


@triton.jit
def row_divergences(
    preds_S,
    preds_T,
    moments,
    losses,
    difference,
    N,
    C,
    tau,
    factor,
    STANDARDISED: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
):
    """Losses, shape (N,), and (p - q) / tau, shape (N, C), both times a factor."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    cols = tl.arange(0, COLS)
    exists = cols < C
    inside = (rows < N)[:, None] & exists[None, :]
    at = rows[:, None] * C + cols[None, :]
    h = tl.load(preds_S + at, mask=inside, other=0.0)
    k = tl.load(preds_T + at, mask=inside, other=0.0)
    if STANDARDISED:
        h = _standardise(h, preds_S, moments, C, cols, exists)
        k = _standardise(k, preds_T, moments + 2 * C, C, cols, exists)
    loss, p, q = _divergence(h / tau, k / tau, exists[None, :])
    tl.store(losses + rows, factor * loss, mask=rows < N)
    tl.store(difference + at, factor / tau * (p - q), mask=inside)


@triton.jit
def _standardise(z, preds, moments, C, cols, exists):
    """The perception of logits, by the moments of their columns."""
    first = tl.load(preds + cols, mask=exists, other=0.0)
    mean = tl.load(moments + cols, mask=exists, other=0.0)
    scale = tl.load(moments + C + cols, mask=exists, other=0.0)
    return (z - first[None, :] - mean[None, :]) * scale[None, :]


@triton.jit
def _divergence(h, k, exists):
    """KL(q || p) of rows, and the two distributions, over the columns that exist."""
    h = tl.where(exists, h, float('-inf'))
    k = tl.where(exists, k, float('-inf'))
    h = h - tl.max(h, 1)[:, None]
    k = k - tl.max(k, 1)[:, None]
    p = tl.exp(h)
    q = tl.exp(k)
    sum_S = tl.sum(p, 1)
    sum_T = tl.sum(q, 1)
    apart = tl.sum(tl.where(exists, q * (k - h), 0.0), 1)
    loss = apart / sum_T + tl.log(sum_S / sum_T)
    return loss, p / sum_S[:, None], q / sum_T[:, None]


@triton.jit
def perception_gradient(
    grad,
    grad_stride,
    preds_S,
    difference,
    moments,
    grad_S,
    N,
    C,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
):
    """The gradient of the student's logits, shape (N, C), of those of the losses."""
    cols = tl.program_id(0) * COLS + tl.arange(0, COLS)
    exists = cols < C
    scale = tl.load(moments + C + cols, mask=exists, other=0.0)
    sum_G = tl.zeros([ROWS, COLS], tl.float32)
    sum_Gh = tl.zeros([ROWS, COLS], tl.float32)
    for start in range(0, N, ROWS):
        rows = start + tl.arange(0, ROWS)
        inside = (rows < N)[:, None] & exists[None, :]
        at = rows[:, None] * C + cols[None, :]
        g = tl.load(grad + rows * grad_stride, mask=rows < N, other=0.0)
        G, h = _of_tile(g, preds_S, difference, moments, C, at, inside, cols, exists)
        sum_G += G
        sum_Gh += G * h
    mean_G = tl.sum(sum_G, 0) / N
    mean_Gh = tl.sum(sum_Gh, 0) / N
    for start in range(0, N, ROWS):
        rows = start + tl.arange(0, ROWS)
        inside = (rows < N)[:, None] & exists[None, :]
        at = rows[:, None] * C + cols[None, :]
        g = tl.load(grad + rows * grad_stride, mask=rows < N, other=0.0)
        G, h = _of_tile(g, preds_S, difference, moments, C, at, inside, cols, exists)
        dz = (G - mean_G[None, :] - h * mean_Gh[None, :]) * scale[None, :]
        tl.store(grad_S + at, dz, mask=inside)


@triton.jit
def _of_tile(g, preds_S, difference, moments, C, at, inside, cols, exists):
    """The gradient G of a tile's perception, and that perception."""
    G = g[:, None] * tl.load(difference + at, mask=inside, other=0.0)
    z = tl.load(preds_S + at, mask=inside, other=0.0)
    return G, _standardise(z, preds_S, moments, C, cols, exists)


@triton.jit
def decoupled_divergences(
    preds_S,
    preds_T,
    labels,
    losses,
    difference,
    N,
    C,
    tau,
    alpha,
    beta,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
):
    """DKD's losses, shape (N,), and their gradients by the student's logits, (N, C).

    With b the probability of the target class and p the distribution over the others,
    the gradient by the target's logit is tau alpha (b_S - b_T), and by another's
    tau (beta (p_S - p_T) - alpha (b_S - b_T) p_S). A label that is no column gives
    what is not a number.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    cols = tl.arange(0, COLS)
    inside = (rows < N)[:, None] & (cols < C)[None, :]
    at = rows[:, None] * C + cols[None, :]
    label = tl.load(labels + rows, mask=rows < N, other=0)
    target = cols[None, :] == label[:, None]
    others = (cols < C)[None, :] & (cols[None, :] != label[:, None])
    h = tl.load(preds_S + at, mask=inside, other=0.0) / tau
    k = tl.load(preds_T + at, mask=inside, other=0.0) / tau
    others_loss, p, q = _divergence(h, k, others)
    log_yes_S, log_no_S = _log_odds(h, target, others)
    log_yes_T, log_no_T = _log_odds(k, target, others)
    target_loss = tl.exp(log_yes_T) * (log_yes_T - log_yes_S)
    target_loss += tl.exp(log_no_T) * (log_no_T - log_no_S)
    is_column = (label >= 0) & (label < C)
    scale = tl.where(is_column, tau, float('nan'))
    loss = tau * scale * (alpha * target_loss + beta * others_loss)
    tl.store(losses + rows, loss, mask=rows < N)
    by_target = (alpha * (tl.exp(log_yes_S) - tl.exp(log_yes_T)))[:, None]
    gap = tl.where(target, by_target, beta * (p - q) - by_target * p)
    tl.store(difference + at, scale[:, None] * gap, mask=inside)


@triton.jit
def _log_odds(h, target, others):
    """Logarithms of the probability of the target, and of any other column."""
    rest = tl.where(others, h, float('-inf'))
    top = tl.max(rest, 1)
    rest = top + tl.log(tl.sum(tl.exp(rest - top[:, None]), 1))
    odds = tl.sum(tl.where(target, h, 0.0), 1) - rest
    tail = tl.log(1.0 + tl.exp(-tl.abs(odds)))
    return tl.minimum(odds, 0.0) - tail, tl.minimum(-odds, 0.0) - tail
