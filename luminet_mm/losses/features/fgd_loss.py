from typing import Any, List, Optional, Sequence, Tuple

import torch
from mmcv.cnn import ContextBlock
from mmengine.runner import autocast
from torch import Tensor, nn

from ...checks import check_number, key_of
from ...registry import MODELS
from ..functional import widen
from .feature_loss import Layers
from .ground_truth import boxes_of
from .map_loss import MapLoss


def fgd_loss(
    feat_S: Tensor,
    feat_T: Tensor,
    foreground: Tensor,
    background: Tensor,
    tau: float = 0.5,
    alpha: float = 5e-5,
    beta: float = 2.5e-5,
    gamma: float = 5e-5,
) -> Tensor:
    r"""The focal part of FGD: what the teacher attends to, in objects and around.

    .. math:: \frac{1}{B} \sum_b \Big[ \sum_{c, i, j}
              (\alpha F_{ij} + \beta G_{ij}) A^S_{ij} A^C_c (s_{cij} - t_{cij})^2 +
              \gamma \big( \|A^S - \hat{A}^S\|_1 + \|A^C - \hat{A}^C\|_1 \big) \Big]

    with the masks F and G of :func:`scale_masks` and the teacher's attention A to
    positions and to channels, :math:`\hat{A}` the student's, see :func:`attention`:
    section 3.1 of `FGD <https://arxiv.org/abs/2111.11837>`_, averaged over the batch.

    Args:
        feat_S (Tensor): The student's map, shape (B, C, H, W).
        feat_T (Tensor): The teacher's, of the same shape.
        foreground (Tensor): F, shape (B, H, W).
        background (Tensor): G, shape (B, H, W).
        tau (float): Temperature of the attention. Defaults to 0.5.
        alpha (float): Weight of the foreground. Defaults to 5e-5.
        beta (float): Weight of the background. Defaults to 2.5e-5.
        gamma (float): Weight of the attention's own distance. Defaults to 5e-5.

    Returns:
        Tensor: A scalar.
    """
    feat_S, feat_T = widen(feat_S), widen(feat_T)
    positions_S, channels_S = attention(feat_S, tau)
    positions_T, channels_T = attention(feat_T, tau)
    weight = (alpha * foreground + beta * background) * positions_T
    error = ((feat_S - feat_T).square() * weight[:, None]).sum(dim=(2, 3)) * channels_T
    apart = (positions_S - positions_T).abs().sum()
    apart = apart + (channels_S - channels_T).abs().sum()
    return (error.sum() + gamma * apart) / len(feat_S)


def attention(feat: Tensor, tau: float) -> Tuple[Tensor, Tensor]:
    """How strongly a map answers at each position and in each channel.

    The softmax of the mean magnitude over channels, times H W, and of that over
    positions, times C, so that both are 1 on average.

    Args:
        feat (Tensor): Shape (B, C, H, W).
        tau (float): Temperature of both softmaxes.

    Returns:
        tuple[Tensor, Tensor]: Of positions, shape (B, H, W), and of channels, (B, C).
    """
    magnitude = feat.abs()
    positions = magnitude.mean(dim=1)
    channels = magnitude.mean(dim=(2, 3))
    return (
        (positions.flatten(1) / tau).softmax(dim=1).view_as(positions)
        * positions[0].numel(),
        (channels / tau).softmax(dim=1) * channels.shape[1],
    )


def scale_masks(
    boxes: Sequence[Tensor], size: Sequence[int], image_size: Sequence[int]
) -> Tuple[Tensor, Tensor]:
    """Weigh objects alike whatever their size, and as much as all around them.

    A position that a box touches has the weight 1 / (h w), where the box touches h rows
    and w columns; of several boxes the smallest counts. Any other is background, of
    weight 1 over the number of such positions in the image. Section 3.1 of `FGD
    <https://arxiv.org/abs/2111.11837>`_; the authors' code lets a box have one row and
    one column more.

    Args:
        boxes (Sequence[Tensor]): Of each of B images, x1, y1, x2, y2 in pixels, shape
            (G, 4).
        size (Sequence[int]): H and W of the map.
        image_size (Sequence[int]): Height and width of the images in pixels.

    Returns:
        tuple[Tensor, Tensor]: Weights of the foreground, 0 in the background, and of
        the background, 0 in the foreground, both of shape (B, H, W).
    """
    foreground = torch.stack([_foreground(found, size, image_size) for found in boxes])
    is_background = foreground == 0
    count = is_background.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    return foreground, is_background / count


def _foreground(
    boxes: Tensor, size: Sequence[int], image_size: Sequence[int]
) -> Tensor:
    """Weights of one image, shape (H, W)."""
    touched = []  # rows, shape (G, H), and columns, shape (G, W)
    for cells, pixels, axis in zip(size, image_size, (1, 0)):
        index = torch.arange(cells, device=boxes.device)
        low = (boxes[:, axis, None] * cells / pixels).floor()
        high = (boxes[:, axis + 2, None] * cells / pixels).ceil()
        touched.append((low <= index) & (index < high))
    rows, columns = touched
    area = rows.sum(dim=1) * columns.sum(dim=1)
    weights = rows[:, :, None] * columns[:, None, :] / area.clamp(min=1)[:, None, None]
    # A row of zeros, for images without boxes
    return torch.cat([weights, weights.new_zeros(1, *size)]).amax(dim=0)


@MODELS.register_module()
class FGDLoss(MapLoss):
    r"""Focal and global distillation of a detector's neck.

    Published in `Focal and Global Knowledge Distillation for Detectors
    <https://arxiv.org/abs/2111.11837>`_. The focal part is :func:`fgd_loss`; the global
    one, section 3.2 of the paper, compares what each map tells of the relations of its
    positions, :math:`\frac{\lambda}{B} \sum (R_S(s) - R_T(t))^2` with R the global
    context block of `GCNet <https://arxiv.org/abs/1904.11492>`_, one on each side and
    level, both of which are trained. Summed over the levels. A 1x1 convolution
    translates the student's channels where their number differs.

    The defaults are those of Faster R-CNN. Published, too:

    ========= === ====== ====== ====== ===========
    detector  tau alpha  beta   gamma  ``lambda_``
    ========= === ====== ====== ====== ===========
    RetinaNet 0.5 1e-3   5e-4   5e-4   5e-6
    FCOS      0.8 1.6e-3 8e-4   8e-4   8e-6
    ========= === ====== ====== ====== ===========

    The published runs start the student's neck and head from the teacher's weights and
    clip gradients at a norm of 35.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`. Defaults
            to None, all levels of the neck.
        loss_weight (float): Factor of the whole loss. Defaults to 1.0.
        tau (float): Temperature of the attention. Defaults to 0.5.
        alpha (float): Weight of the foreground. Defaults to 5e-5.
        beta (float): Weight of the background. Defaults to 2.5e-5.
        gamma (float): Weight of the attention's own distance. Defaults to 5e-5.
        lambda_ (float): Weight of the global part. Defaults to 5e-7.

    Raises:
        TypeError, ValueError: If ``tau`` is not above 0 or a weight is negative; and as
            :class:`FeatureLoss`. In ``forward``, if a data sample has no boxes.
    """

    default_layers = (('neck', 'neck'),)
    needs = ('data_samples', 'image_size')

    def __init__(
        self,
        layers: Optional[Layers] = None,
        loss_weight: float = 1.0,
        tau: float = 0.5,
        alpha: float = 5e-5,
        beta: float = 2.5e-5,
        gamma: float = 5e-5,
        lambda_: float = 5e-7,
    ) -> None:
        super().__init__(layers, loss_weight)
        check_number(key_of(self, 'tau'), tau, above=0)
        weights = dict(alpha=alpha, beta=beta, gamma=gamma, lambda_=lambda_)
        for name, weight in weights.items():
            check_number(key_of(self, name), weight, at_least=0)
        self.tau = tau
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.lambda_ = lambda_

    def connect(
        self, shapes_S: Sequence[Sequence[int]], shapes_T: Sequence[Sequence[int]]
    ) -> None:
        super().connect(shapes_S, shapes_T)
        self.relations_S, self.relations_T = (
            # Half of the channels inside, as in the authors' code
            nn.ModuleList(ContextBlock(shape[1], ratio=1 / 2) for shape in shapes_T)
            for _ in range(2)
        )

    def distance(
        self,
        feats_S: List[Tensor],
        feats_T: List[Tensor],
        data_samples: Sequence[Any],
        image_size: Tuple[int, int],
    ) -> Tensor:
        boxes = boxes_of(type(self).__name__, data_samples)
        loss = 0
        for (feat_S, feat_T), relation_S, relation_T in zip(
            self.pairs(feats_S, feats_T), self.relations_S, self.relations_T
        ):
            masks = scale_masks(boxes, feat_S.shape[2:], image_size)
            weights = self.tau, self.alpha, self.beta, self.gamma
            loss = loss + fgd_loss(feat_S, feat_T, *masks, *weights)
            with autocast(feat_S.device.type, enabled=False):
                # Contiguous, since mmcv views (H, W) as one axis
                related_S = relation_S(feat_S.contiguous())
                related_T = relation_T(feat_T.contiguous())
            apart = (related_S - related_T).square().sum() / len(feat_S)
            loss = loss + self.lambda_ * apart
        return loss

    def extra_repr(self) -> str:
        return (
            f'{super().extra_repr()}, tau={self.tau}, alpha={self.alpha}, '
            f'beta={self.beta}, gamma={self.gamma}, lambda_={self.lambda_}'
        )
