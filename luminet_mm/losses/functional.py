"""Perception and divergences as pure functions of two logit matrices.

Every function takes logits of shape (N, C), N samples (images, or RoIs of all
images of the batch) by C classes, and computes in float32 at least: logits that
arrive in float16 or bfloat16 are widened first, whatever autocast does. What devices
have operators for is computed by those, see :mod:`luminet_mm.losses.fused`.
"""

from typing import Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from mmengine.runner import autocast
from torch import Tensor
from torch.distributed.nn.functional import all_reduce

from . import fused


def widen(values: Tensor) -> Tensor:
    """Numbers in float32 at least, whatever precision a model runs in.

    Args:
        values (Tensor): Of any floating-point type and shape.

    Returns:
        Tensor: The same in float32; in float64 if they were.
    """
    return values if values.dtype == torch.float64 else values.float()


def perception(logits: Tensor, eps: float = 1e-5, sync_stats: bool = False) -> Tensor:
    r"""Standardise logits class by class over the batch.

    .. math:: h_{ij} = (z_{ij} - U_j) / \sqrt{V_j + \epsilon}

    with :math:`U_j` and :math:`V_j` the mean and the biased variance of column
    j, Eq. 3 of `LumiNet <https://arxiv.org/abs/2310.03669>`_. That is batch
    normalisation without affine parameters, so torch's kernel computes it.

    Args:
        logits (Tensor): Logits z, shape (N, C).
        eps (float): Added to the variance inside the root, so that a class
            whose logit is constant over the batch gives zeros instead of a
            division by zero. Defaults to 1e-5, batch normalisation's default.
        sync_stats (bool): Whether the batch is that of all processes, each of which
            has to call this then, if with no sample at all. The gradient goes to the
            logits of all. Defaults to False.

    Returns:
        Tensor: The perception h, shape (N, C), float32 or float64. All zeros
        for a batch of one, whose perception is empty.
    """
    logits = widen(logits)
    if sync_stats and get_world_size() > 1:
        return _global_perception(logits, eps)
    if len(logits) < 2:
        return logits - logits
    # The result does not depend on an offset per column. Taking one off keeps a
    # constant column exactly zero and large logits exact in float32.
    logits = logits - logits[:1].detach()
    return F.batch_norm(logits, None, None, training=True, eps=eps)


def kl_divergence(preds_S: Tensor, preds_T: Tensor, tau: float = 1.0) -> Tensor:
    r"""Divergence of the student's softened distribution from the teacher's.

    .. math:: \mathrm{KL}(\mathrm{softmax}(z^T_i / \tau) \,||\,
              \mathrm{softmax}(z^S_i / \tau))

    Args:
        preds_S (Tensor): Student logits, shape (N, C).
        preds_T (Tensor): Teacher logits, shape (N, C).
        tau (float): Temperature. Defaults to 1.0.

    Returns:
        Tensor: One value per sample, shape (N,).
    """
    log_p_S = F.log_softmax(widen(preds_S) / tau, dim=1)
    log_p_T = F.log_softmax(widen(preds_T) / tau, dim=1)
    return F.kl_div(log_p_S, log_p_T, reduction='none', log_target=True).sum(dim=1)


def kd_loss(preds_S: Tensor, preds_T: Tensor, tau: float = 4.0) -> Tensor:
    """Classical knowledge distillation, Eq. 1 of the LumiNet paper.

    Multiplied by ``tau ** 2`` as in `Hinton et al., 2015
    <https://arxiv.org/abs/1503.02531>`_, section 2, so that the size of the
    gradient does not depend on the temperature.

    Args:
        preds_S (Tensor): Student logits, shape (N, C).
        preds_T (Tensor): Teacher logits, shape (N, C).
        tau (float): Temperature. Defaults to 4.0, the usual choice on CIFAR-100.

    Returns:
        Tensor: One value per sample, shape (N,).
    """
    return fused.compute('kd', _kd, widen(preds_S), widen(preds_T), tau)


def luminet_loss(
    preds_S: Tensor,
    preds_T: Tensor,
    tau: float = 1.0,
    eps: float = 1e-5,
    sync_stats: bool = False,
) -> Tensor:
    """LumiNet: the divergence of two perceptions, Eq. 4 of the paper.

    There is no ``tau ** 2`` here; the paper's code weights the whole loss by
    ``alpha ** 2`` instead, see :class:`LuminetLoss`.

    Args:
        preds_S (Tensor): Student logits, shape (N, C).
        preds_T (Tensor): Teacher logits, shape (N, C).
        tau (float): Temperature. Defaults to 1.0.
        eps (float): See :func:`perception`.
        sync_stats (bool): See :func:`perception`. Defaults to False.

    Returns:
        Tensor: One value per sample, shape (N,).
    """
    preds_S, preds_T = widen(preds_S), widen(preds_T)
    if sync_stats:
        return _luminet(preds_S, preds_T, tau, eps, sync_stats)
    return fused.compute('luminet', _luminet, preds_S, preds_T, tau, eps)


def dkd_loss(
    preds_S: Tensor,
    preds_T: Tensor,
    gt_labels: Tensor,
    tau: float = 4.0,
    alpha: float = 1.0,
    beta: float = 8.0,
) -> Tensor:
    r"""Decoupled knowledge distillation.

    .. math:: \tau^2 \left[
              \alpha \, \mathrm{KL}(b^T_i \,||\, b^S_i) +
              \beta \, \mathrm{KL}(\hat{p}^T_i \,||\, \hat{p}^S_i) \right]

    with :math:`b_i` the two probabilities "target class" and "any other class",
    and :math:`\hat{p}_i` the distribution over the other C - 1 classes alone,
    both softened by tau: Eq. 7 of `DKD <https://arxiv.org/abs/2203.08679>`_. With
    alpha = 1 and beta = 1 minus the teacher's target probability it is
    :func:`kd_loss`.

    Args:
        preds_S (Tensor): Student logits, shape (N, C) with C of at least 2.
        preds_T (Tensor): Teacher logits, shape (N, C).
        gt_labels (Tensor): Class indices below C, shape (N,). In a two-stage
            detector the background's is C - 1, a class like any other.
        tau (float): Temperature. Defaults to 4.0.
        alpha (float): Weight of the target class's term. Defaults to 1.0.
        beta (float): Weight of the other classes' term. Defaults to 8.0.

    Returns:
        Tensor: One value per sample, shape (N,).
    """
    preds_S, preds_T = widen(preds_S), widen(preds_T)
    return fused.compute('dkd', _dkd, preds_S, preds_T, gt_labels, tau, alpha, beta)


def standardize(logits: Tensor, eps: float = 1e-7) -> Tensor:
    r"""Standardise logits sample by sample over the classes.

    .. math:: h_{ij} = (z_{ij} - \bar{z}_i) / (s_i + \epsilon)

    with the mean and the unbiased standard deviation of row i: the Z-score of
    `Logit Standardization <https://arxiv.org/abs/2403.01427>`_, as in the authors'
    code. Its gradient is not a number where all logits of a sample are equal, as
    after a zero initialisation of the classifier; here such a sample gives zeros,
    with a zero gradient.

    Args:
        logits (Tensor): Logits z, shape (N, C).
        eps (float): Added to the standard deviation. Defaults to 1e-7, the authors'.

    Returns:
        Tensor: Standardised logits, shape (N, C), float32 or float64. All zeros
        for a sample whose logits are equal but for rounding.
    """
    logits = widen(logits)
    if logits.shape[1] < 2:
        return logits - logits
    centred = _centre(logits)
    # the norm's gradient is zero at zero, the root's is infinite
    std = centred.norm(dim=1, keepdim=True) / (logits.shape[1] - 1) ** 0.5
    return centred / (std + eps)


def logit_standardization_loss(
    preds_S: Tensor, preds_T: Tensor, tau: float = 2.0, eps: float = 1e-7
) -> Tensor:
    """Classical knowledge distillation between standardised logits.

    Args:
        preds_S (Tensor): Student logits, shape (N, C).
        preds_T (Tensor): Teacher logits, shape (N, C).
        tau (float): Temperature, the paper's base temperature. Defaults to 2.0.
        eps (float): See :func:`standardize`.

    Returns:
        Tensor: One value per sample, shape (N,).
    """
    return kd_loss(standardize(preds_S, eps), standardize(preds_T, eps), tau)


def dist_loss(
    preds_S: Tensor,
    preds_T: Tensor,
    tau: float = 1.0,
    inter_loss_weight: float = 1.0,
    intra_loss_weight: float = 1.0,
    eps: float = 1e-8,
) -> Tensor:
    r"""DIST: distances of correlation, between classes and between samples.

    .. math:: \tau^2 \left[
              \beta \, (1 - \rho(Y^S_{i:}, Y^T_{i:})) + \frac{\gamma}{C} \sum_j
              (1 - \rho(Y^S_{:j}, Y^T_{:j})) \right]

    with :math:`Y = \mathrm{softmax}(z / \tau)`, shape (N, C), and
    :math:`\rho(a, b) = \bar{a} \cdot \bar{b} /
    (\|\bar{a}\| \|\bar{b}\| + \epsilon)` Pearson's correlation of two vectors less
    their means: `DIST <https://arxiv.org/abs/2205.10536>`_. A vector without any
    spread correlates with nothing: :math:`\rho = 0`, without a gradient.

    The second term, one number for the batch, is part of every sample's value, so
    that the mean over the samples is the published loss.

    Args:
        preds_S (Tensor): Student logits, shape (N, C).
        preds_T (Tensor): Teacher logits, shape (N, C).
        tau (float): Temperature. Defaults to 1.0.
        inter_loss_weight (float): beta, the weight of the correlation of a sample's C
            probabilities. Defaults to 1.0.
        intra_loss_weight (float): gamma, the weight of the correlation of a class's N
            probabilities. Defaults to 1.0.
        eps (float): Added to the product of the two norms. Defaults to 1e-8.

    Returns:
        Tensor: One value per sample, shape (N,).
    """
    probs_S = F.softmax(widen(preds_S) / tau, dim=1)
    probs_T = F.softmax(widen(preds_T) / tau, dim=1)
    inter = 1 - _pearson(probs_S, probs_T, eps)
    intra = 1 - _pearson(probs_S.t(), probs_T.t(), eps)
    return tau**2 * (inter_loss_weight * inter + intra_loss_weight * intra.mean())


def multi_level_loss(
    preds_S: Tensor,
    preds_T: Tensor,
    taus: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0),
    instance_weight: float = 1.0,
    batch_weight: float = 1.0,
    class_weight: float = 1.0,
) -> Tensor:
    r"""Multi-level logit distillation: instances, batch and classes aligned.

    .. math:: \sum_\tau \left[
              \tau^2 \, \mathrm{KL}(Y^T_{i:} \,||\, Y^S_{i:}) +
              \sum_k (G^T_{ik} - G^S_{ik})^2 +
              \frac{1}{C} \sum_{jk} (M^T_{jk} - M^S_{jk})^2 \right]

    with :math:`Y = \mathrm{softmax}(z / \tau)`, shape (N, C), the N x N relations
    of samples :math:`G = Y Y^\top` and the C x C relations of classes
    :math:`M = Y^\top Y`: `Multi-level Logit Distillation
    <https://openaccess.thecvf.com/content/CVPR2023/html/Jin_Multi-Level_Logit_Distillation_CVPR_2023_paper.html>`_.

    The mean over the samples is the published loss: row i of the relations of
    samples belongs to sample i; the last term, one number for the batch, is part
    of every sample's value.

    Args:
        preds_S (Tensor): Student logits, shape (N, C).
        preds_T (Tensor): Teacher logits, shape (N, C).
        taus (Sequence[float]): Temperatures to sum over. Defaults to 2 to 6.
        instance_weight (float): Weight of the divergence. Defaults to 1.0.
        batch_weight (float): Weight of the relations of samples. Defaults to 1.0.
        class_weight (float): Weight of the relations of classes. Defaults to 1.0.

    Returns:
        Tensor: One value per sample, shape (N,).
    """
    preds_S, preds_T = widen(preds_S), widen(preds_T)
    loss = preds_S.new_zeros(len(preds_S))
    # autocast would compute the products of matrices in half precision
    with autocast(preds_S.device.type, enabled=False):
        for tau in taus:
            probs_S = F.softmax(preds_S / tau, dim=1)
            probs_T = F.softmax(preds_T / tau, dim=1)
            batch = _gram_distance(probs_S, probs_T)
            classes = _gram_distance(probs_S.t(), probs_T.t()).mean()
            loss = loss + instance_weight * kd_loss(preds_S, preds_T, tau)
            loss = loss + batch_weight * batch + class_weight * classes
    return loss


def box_loss(deltas_S: Tensor, deltas_T: Tensor) -> Tensor:
    """L1 distance of two regressions of the same boxes.

    Args:
        deltas_S (Tensor): The student's, shape (N, 4), see :class:`BoxLoss`.
        deltas_T (Tensor): The teacher's, shape (N, 4).

    Returns:
        Tensor: One value per row, shape (N,).
    """
    return (widen(deltas_S) - widen(deltas_T)).abs().sum(dim=1)


def _luminet(
    preds_S: Tensor,
    preds_T: Tensor,
    tau: float,
    eps: float,
    sync_stats: bool = False,
) -> Tensor:
    h_S = perception(preds_S, eps, sync_stats)
    h_T = perception(preds_T, eps, sync_stats)
    return kl_divergence(h_S, h_T, tau)


def _global_perception(logits: Tensor, eps: float) -> Tensor:
    """:func:`perception` of the rows of all processes, of which these are some."""
    # As in one process, offsets are taken off first; moments travel in float64.
    offset = logits[:1].detach().sum(dim=0)  # zeros where there is no row
    logits = logits - offset
    count = logits.new_tensor(len(logits), dtype=torch.float64)
    mean = logits.sum(dim=0) / max(len(logits), 1)
    squares = (logits - mean).square().sum(dim=0).double()
    mean = mean.double() + offset.double()
    moments = torch.stack(
        [count.expand_as(mean), count * mean, squares + count * mean.square()]
    )
    count, total, squares = all_reduce(moments)  # torch's, which has a gradient
    mean, square = (sums / count.clamp(min=1) for sums in (total, squares))
    var = (square - mean.square()).clamp(min=0)  # below 0 by rounding only
    shift = (mean - offset.double()).to(logits)
    return (logits - shift) * torch.rsqrt(var + eps).to(logits)


def _kd(preds_S: Tensor, preds_T: Tensor, tau: float) -> Tensor:
    return kl_divergence(preds_S, preds_T, tau) * tau**2


def _dkd(
    preds_S: Tensor,
    preds_T: Tensor,
    gt_labels: Tensor,
    tau: float,
    alpha: float,
    beta: float,
) -> Tensor:
    target_S, others_S = _split_target(preds_S / tau, gt_labels)
    target_T, others_T = _split_target(preds_T / tau, gt_labels)
    loss = alpha * kl_divergence(target_S, target_T)
    loss = loss + beta * kl_divergence(others_S, others_T)
    return loss * tau**2


def _split_target(logits: Tensor, gt_labels: Tensor) -> Tuple[Tensor, Tensor]:
    """Logits of "target or not", shape (N, 2), and of the others, (N, C - 1).

    The logit of "any other class" is the logarithm of the others' summed
    exponentials, so that no probability is ever rounded to 0 or to 1.
    """
    labels = gt_labels.long()[:, None]
    columns = torch.arange(logits.shape[1] - 1, device=logits.device)
    others = logits.gather(1, columns + (columns >= labels))
    rest = others.logsumexp(dim=1, keepdim=True)
    return torch.cat([logits.gather(1, labels), rest], dim=1), others


def _pearson(a: Tensor, b: Tensor, eps: float) -> Tensor:
    """Correlation of the rows of two (n, m) matrices, shape (n,)."""
    a, b = _centre(a), _centre(b)
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1) + eps)


def _centre(rows: Tensor) -> Tensor:
    """Rows less their means; exactly zero where only rounding is left."""
    centred = rows - rows.mean(dim=1, keepdim=True)
    rounding = 8 * torch.finfo(rows.dtype).eps * rows.norm(dim=1, keepdim=True)
    constant = centred.norm(dim=1, keepdim=True) <= rounding
    return centred.masked_fill(constant, 0)


def _gram_distance(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of the rows of two Gram matrices, (n, m) to (n,)."""
    return (a @ a.t() - b @ b.t()).square().sum(dim=1)
