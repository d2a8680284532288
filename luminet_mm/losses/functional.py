"""Perception and divergences as pure functions of two logit matrices.

Every function takes logits of shape (N, C), N samples (images, or RoIs of all
images of the batch) by C classes, and computes in float32 at least: logits that
arrive in float16 or bfloat16 are widened first, whatever autocast does.
"""

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


def _widen(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
