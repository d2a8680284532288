"""Perception and divergences as pure functions of two logit matrices.

Every function takes logits of shape (N, C), N samples (images, or RoIs of all
images of the batch) by C classes, and computes in float32 at least: logits that
arrive in float16 or bfloat16 are widened first, whatever autocast does.
"""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor


def perception(logits: Tensor, eps: float = 1e-5) -> Tensor:
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

    Returns:
        Tensor: The perception h, shape (N, C), float32 or float64. All zeros
        for a batch of one, whose perception is empty.
    """
    logits = _widen(logits)
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
    log_p_S = F.log_softmax(_widen(preds_S) / tau, dim=1)
    log_p_T = F.log_softmax(_widen(preds_T) / tau, dim=1)
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
    return kl_divergence(preds_S, preds_T, tau) * tau**2


def luminet_loss(
    preds_S: Tensor, preds_T: Tensor, tau: float = 1.0, eps: float = 1e-5
) -> Tensor:
    """LumiNet: the divergence of two perceptions, Eq. 4 of the paper.

    There is no ``tau ** 2`` here; the paper's code weights the whole loss by
    ``alpha ** 2`` instead, see :class:`LuminetLoss`.

    Args:
        preds_S (Tensor): Student logits, shape (N, C).
        preds_T (Tensor): Teacher logits, shape (N, C).
        tau (float): Temperature. Defaults to 1.0.
        eps (float): See :func:`perception`.

    Returns:
        Tensor: One value per sample, shape (N,).
    """
    return kl_divergence(perception(preds_S, eps), perception(preds_T, eps), tau)


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
    target_S, others_S = _split_target(_widen(preds_S) / tau, gt_labels)
    target_T, others_T = _split_target(_widen(preds_T) / tau, gt_labels)
    loss = alpha * kl_divergence(target_S, target_T)
    loss = loss + beta * kl_divergence(others_S, others_T)
    return loss * tau**2


def _split_target(logits: Tensor, gt_labels: Tensor) -> Tuple[Tensor, Tensor]:
    """Logits of "target or not", shape (N, 2), and of the others, (N, C - 1).

    The logit of "any other class" is the logarithm of the others' summed
    exponentials, so that no probability is ever rounded to 0 or to 1.
    """
    labels = gt_labels[:, None]
    columns = torch.arange(logits.shape[1] - 1, device=logits.device)
    others = logits.gather(1, columns + (columns >= labels))
    rest = others.logsumexp(dim=1, keepdim=True)
    return torch.cat([logits.gather(1, labels), rest], dim=1), others


def standardize(logits: Tensor, eps: float = 1e-5) -> Tensor:
    r"""Standardise logits sample by sample over the classes.

    .. math:: h_{ij} = (z_{ij} - \bar{z}_i) / \sqrt{s_i^2 + \epsilon}

    with the mean and the unbiased variance of row i: the Z-score of
    `Logit Standardization <https://arxiv.org/abs/2403.01427>`_.
    The authors add 1e-7 to the standard deviation itself; its gradient is not a
    number where all logits of a sample are equal, as after a zero initialisation
    of the classifier. The two agree wherever the logits spread at all.

    Args:
        logits (Tensor): Logits z, shape (N, C).
        eps (float): Added to the variance inside the root. Defaults to 1e-5, as
            in :func:`perception`, which does the same over the other axis.

    Returns:
        Tensor: Standardised logits, shape (N, C), float32 or float64. All zeros
        for a sample whose logits are equal.
    """
    logits = _widen(logits)
    if logits.shape[1] < 2:
        return logits - logits
    # As in perception: equal logits stay exactly zero, large ones exact.
    logits = logits - logits[:, :1].detach()
    var, mean = torch.var_mean(logits, dim=1, keepdim=True)
    return (logits - mean) * torch.rsqrt(var + eps)


def logit_standardization_loss(
    preds_S: Tensor, preds_T: Tensor, tau: float = 2.0, eps: float = 1e-5
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


def _widen(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
