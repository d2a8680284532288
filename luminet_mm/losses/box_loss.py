from typing import Optional

from torch import Tensor

from ..registry import MODELS
from .functional import box_loss
from .logit_loss import LogitLoss


@MODELS.register_module()
class BoxLoss(LogitLoss):
    """The boxes of a teacher, as targets beside the ground truth's.

    L1 distance of what student and teacher regress. Logits cannot say where an object
    ends, this can.

    - Two-stage detectors: the deltas of each RoI for the class of its label; none for
      background. 'mean' is over all RoIs, background too, as mmdet averages the loss of
      the ground truth: with a weight of 1 the teacher's boxes are worth as much.
    - Dense detectors: the four sides of the box of each chosen prior, in sizes of the
      prior. 'mean' is over how sure the teacher is of each, see :class:`DenseSource`.
    - Detectors that predict a set: centre, width and height of the boxes of matched
      queries, in units of the image. 'mean' as of dense ones, see :class:`QuerySource`;
      a weight of 5 is what the family gives its own.

    Args:
        loss_weight (float): Factor of the whole loss. Defaults to 1.0.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.

    Raises:
        ValueError: As :class:`LogitLoss`.
    """

    compares = 'deltas'

    def divergence(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Optional[Tensor]
    ) -> Tensor:
        return box_loss(preds_S, preds_T)
