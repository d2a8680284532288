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
        share = tl.where(inside, 1.0 / count, 0.0)
        from_S = z_S - mean_S
        from_T = z_T - mean_T
        mean_S += tl.where(inside, from_S * share, 0.0)
        mean_T += tl.where(inside, from_T * share, 0.0)
        squares_S += tl.where(inside, from_S * (z_S - mean_S), 0.0)
        squares_T += tl.where(inside, from_T * (z_T - mean_T), 0.0)

    all_S = tl.sum(count * mean_S, 0) / N
    all_T = tl.sum(count * mean_T, 0) / N
    apart_S = mean_S - all_S[None, :]
    apart_T = mean_T - all_T[None, :]
    var_S = tl.sum(squares_S + count * apart_S * apart_S, 0) / N
    var_T = tl.sum(squares_T + count * apart_T * apart_T, 0) / N
    tl.store(moments + cols, all_S, mask=exists)
    tl.store(moments + C + cols, 1.0 / tl.sqrt(var_S + eps), mask=exists)
    tl.store(moments + 2 * C + cols, all_T, mask=exists)
    tl.store(moments + 3 * C + cols, 1.0 / tl.sqrt(var_T + eps), mask=exists)


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
        offset_S = tl.load(preds_S + cols, mask=exists, other=0.0)
        offset_T = tl.load(preds_T + cols, mask=exists, other=0.0)
        mean_S = tl.load(moments + cols, mask=exists, other=0.0)
        scale_S = tl.load(moments + C + cols, mask=exists, other=0.0)
        mean_T = tl.load(moments + 2 * C + cols, mask=exists, other=0.0)
        scale_T = tl.load(moments + 3 * C + cols, mask=exists, other=0.0)
        h = (h - offset_S[None, :] - mean_S[None, :]) * scale_S[None, :]
        k = (k - offset_T[None, :] - mean_T[None, :]) * scale_T[None, :]
    h = tl.where(exists[None, :], h / tau, float('-inf'))
    k = tl.where(exists[None, :], k / tau, float('-inf'))
    h = h - tl.max(h, 1)[:, None]
    k = k - tl.max(k, 1)[:, None]
    p = tl.exp(h)
    q = tl.exp(k)
    sum_S = tl.sum(p, 1)
    sum_T = tl.sum(q, 1)
    apart = tl.sum(tl.where(exists[None, :], q * (k - h), 0.0), 1)
    loss = factor * (apart / sum_T + tl.log(sum_S / sum_T))
    tl.store(losses + rows, loss, mask=rows < N)
    gap = p / sum_S[:, None] - q / sum_T[:, None]
    tl.store(difference + at, factor / tau * gap, mask=inside)


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
    first = tl.load(preds_S + cols, mask=exists, other=0.0)
    mean = tl.load(moments + cols, mask=exists, other=0.0)
    scale = tl.load(moments + C + cols, mask=exists, other=0.0)
    offset = first[None, :]  # taken off first, as for the moments
    sum_G = tl.zeros([ROWS, COLS], tl.float32)
    sum_Gh = tl.zeros([ROWS, COLS], tl.float32)
    for start in range(0, N, ROWS):
        rows = start + tl.arange(0, ROWS)
        inside = (rows < N)[:, None] & exists[None, :]
        at = rows[:, None] * C + cols[None, :]
        z = tl.load(preds_S + at, mask=inside, other=0.0)
        g = tl.load(grad + rows * grad_stride, mask=rows < N, other=0.0)
        G = g[:, None] * tl.load(difference + at, mask=inside, other=0.0)
        sum_G += G
        sum_Gh += G * ((z - offset - mean[None, :]) * scale[None, :])
    mean_G = (tl.sum(sum_G, 0) / N)[None, :]
    mean_Gh = (tl.sum(sum_Gh, 0) / N)[None, :]
    for start in range(0, N, ROWS):
        rows = start + tl.arange(0, ROWS)
        inside = (rows < N)[:, None] & exists[None, :]
        at = rows[:, None] * C + cols[None, :]
        z = tl.load(preds_S + at, mask=inside, other=0.0)
        g = tl.load(grad + rows * grad_stride, mask=rows < N, other=0.0)
        G = g[:, None] * tl.load(difference + at, mask=inside, other=0.0)
        h = (z - offset - mean[None, :]) * scale[None, :]
        dz = (G - mean_G - h * mean_Gh) * scale[None, :]
        tl.store(grad_S + at, dz, mask=inside)


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
    target_S = tl.sum(tl.where(target, h, 0.0), 1)
    target_T = tl.sum(tl.where(target, k, 0.0), 1)
    h = tl.where(others, h, float('-inf'))
    k = tl.where(others, k, float('-inf'))
    max_S = tl.max(h, 1)
    max_T = tl.max(k, 1)
    h = h - max_S[:, None]
    k = k - max_T[:, None]
    p = tl.exp(h)
    q = tl.exp(k)
    sum_S = tl.sum(p, 1)
    sum_T = tl.sum(q, 1)
    apart = tl.sum(tl.where(others, q * (k - h), 0.0), 1)
    others_loss = apart / sum_T + tl.log(sum_S / sum_T)
    # log-odds of the target, and log(1 + exp(-|x|)), by which both its logarithms are
    odds_S = target_S - (max_S + tl.log(sum_S))
    odds_T = target_T - (max_T + tl.log(sum_T))
    tail_S = tl.log(1.0 + tl.exp(-tl.abs(odds_S)))
    tail_T = tl.log(1.0 + tl.exp(-tl.abs(odds_T)))
    log_yes_S = tl.minimum(odds_S, 0.0) - tail_S
    log_yes_T = tl.minimum(odds_T, 0.0) - tail_T
    log_no_S = tl.minimum(-odds_S, 0.0) - tail_S
    log_no_T = tl.minimum(-odds_T, 0.0) - tail_T
    target_loss = tl.exp(log_yes_T) * (log_yes_T - log_yes_S)
    target_loss += tl.exp(log_no_T) * (log_no_T - log_no_S)
    is_column = (label >= 0) & (label < C)
    scale = tl.where(is_column, tau, float('nan'))
    loss = tau * scale * (alpha * target_loss + beta * others_loss)
    tl.store(losses + rows, loss, mask=rows < N)
    p = p / sum_S[:, None]
    q = q / sum_T[:, None]
    by_target = (alpha * (tl.exp(log_yes_S) - tl.exp(log_yes_T)))[:, None]
    gap = tl.where(target, by_target, beta * (p - q) - by_target * p)
    tl.store(difference + at, scale[:, None] * gap, mask=inside)
