from typing import Any, List, Optional

from torch import Tensor

from ...checks import check_number, key_of
from ...registry import MODELS
from ..functional import kd_loss
from .feature_loss import Layers
from .map_loss import MapLoss


def cwd_loss(feat_S: Tensor, feat_T: Tensor, tau: float = 1.0) -> Tensor:
    r"""Divergence of two maps, each channel a distribution over the positions.

    .. math:: \frac{\tau^2}{B C} \sum_{b, c}
              \mathrm{KL}(\mathrm{softmax}(t_{bc} / \tau) \,||\,
              \mathrm{softmax}(s_{bc} / \tau))

    Eq. 5 of `CWD <https://arxiv.org/abs/2011.13256>`_, divided by the batch, too: it is
    :func:`luminet_mm.losses.kd_loss` with channels for samples and positions for
    classes.

    Args:
        feat_S (Tensor): The student's map, shape (B, C, H, W).
        feat_T (Tensor): The teacher's, of the same shape.
        tau (float): Temperature. Defaults to 1.0.

    Returns:
        Tensor: A scalar; 0 for maps of one position.
    """
    rows = (feat.flatten(2).flatten(0, 1) for feat in (feat_S, feat_T))
    return kd_loss(*rows, tau).mean()


@MODELS.register_module()
class CWDLoss(MapLoss):
    """Channel-wise distillation: where in the image each channel looks.

    Published in `Channel-wise Knowledge Distillation for Dense Prediction
    <https://arxiv.org/abs/2011.13256>`_, see :func:`cwd_loss`; summed over the levels.
    A 1x1 convolution translates the student's channels where their number differs.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`. Defaults
            to None, all levels of the neck.
        loss_weight (float): Factor of the whole loss. Defaults to 10.0, as published
            for Faster R-CNN; for RetinaNet it is 5 with the levels 0 to 3,
            ``layers=[('neck[:4]', 'neck[:4]')]``.
        tau (float): Temperature. Defaults to 1.0, as published for detectors.

    Raises:
        TypeError, ValueError: If ``tau`` is not above 0; and as :class:`FeatureLoss`.
    """

    default_layers = (('neck', 'neck'),)

    def __init__(
        self,
        layers: Optional[Layers] = None,
        loss_weight: float = 10.0,
        tau: float = 1.0,
    ) -> None:
        super().__init__(layers, loss_weight)
        check_number(key_of(self, 'tau'), tau, above=0)
        self.tau = tau

    def distance(
        self, feats_S: List[Tensor], feats_T: List[Tensor], **context: Any
    ) -> Tensor:
        return sum(
            cwd_loss(feat_S, feat_T, self.tau)
            for feat_S, feat_T in self.pairs(feats_S, feats_T)
        )

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, tau={self.tau}'
