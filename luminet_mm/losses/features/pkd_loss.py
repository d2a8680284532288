from typing import Any, List, Optional

import torch.nn.functional as F
from torch import Tensor

from ...checks import check_number, key_of
from ...registry import MODELS
from ..functional import widen
from .feature_loss import Layers
from .map_loss import MapLoss


def pkd_loss(feat_S: Tensor, feat_T: Tensor, eps: float = 1e-6) -> Tensor:
    r"""Half the squared error of two standardised maps.

    .. math:: \frac{1}{2 B C H W} \sum (\hat{s} - \hat{t})^2
              = 1 - \frac{1}{C} \sum_c r(s_c, t_c)

    with each channel standardised over the batch and all positions, and r Pearson's
    coefficient of correlation: section 3 of `PKD <https://arxiv.org/abs/2207.02039>`_.

    Args:
        feat_S (Tensor): The student's map, shape (B, C, H, W).
        feat_T (Tensor): The teacher's, of the same shape.
        eps (float): Added to the variance inside the root. A channel that is constant
            gives zeros. Defaults to 1e-6.

    Returns:
        Tensor: A scalar between 0 and 2.
    """
    return F.mse_loss(_standardized(feat_S, eps), _standardized(feat_T, eps)) / 2


def _standardized(feat: Tensor, eps: float) -> Tensor:
    feat = widen(feat)
    if feat.numel() == feat.shape[1]:  # one value a channel, which PyTorch refuses
        return feat - feat
    return F.batch_norm(feat, None, None, training=True, eps=eps)


@MODELS.register_module()
class PKDLoss(MapLoss):
    """Correlation of the student's maps with the teacher's.

    Published in `PKD: General Distillation Framework for Object Detectors via Pearson
    Correlation Coefficient <https://arxiv.org/abs/2207.02039>`_, see :func:`pkd_loss`;
    summed over the levels. The size of the features does not matter, so teacher and
    student may be detectors of different kinds. It has no parameters where both have as
    many channels, as in all published runs; elsewhere a 1x1 convolution translates the
    student's, which is our own choice.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`. Defaults
            to None, the neck's levels 0 to 3: the last of Faster R-CNN is a max-pooling
            of the one before.
        loss_weight (float): Factor of the whole loss. Defaults to 6.0, as published.
        eps (float): See :func:`pkd_loss`. Defaults to 1e-6.

    Raises:
        TypeError, ValueError: If ``eps`` is not above 0; and as :class:`FeatureLoss`.
    """

    default_layers = (('neck[:4]', 'neck[:4]'),)

    def __init__(
        self,
        layers: Optional[Layers] = None,
        loss_weight: float = 6.0,
        eps: float = 1e-6,
    ) -> None:
        super().__init__(layers, loss_weight)
        check_number(key_of(self, 'eps'), eps, above=0)
        self.eps = eps

    def distance(
        self, feats_S: List[Tensor], feats_T: List[Tensor], **context: Any
    ) -> Tensor:
        return sum(
            pkd_loss(feat_S, feat_T, self.eps)
            for feat_S, feat_T in self.pairs(feats_S, feats_T)
        )

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, eps={self.eps}'
