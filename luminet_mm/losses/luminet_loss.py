from typing import Optional, Union

from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

from ..checks import check_boolean, check_number, key_of
from ..registry import MODELS
from .functional import luminet_loss
from .logit_loss import LogitLoss


@MODELS.register_module()
class LuminetLoss(LogitLoss):
    """LumiNet: the student learns the teacher's perception of the batch.

    Published in `LumiNet: Perception-Driven Knowledge Distillation via Statistical
    Logit Calibration <https://arxiv.org/abs/2310.03669>`_, Transactions on Machine
    Learning Research, 2025; Eqs. 3 and 4 of its preprint of 2023.

    Args:
        tau (float): Temperature of both softmaxes. Defaults to 1.0: perceptions
            have unit variance already, and the paper's Figure 4(c) finds the
            choice of little effect.
        loss_weight (float): Factor of the whole loss. The paper's ``alpha``
            enters squared: ``loss_weight = alpha ** 2``. Defaults to 1.0.
        eps (float): Added to each class's variance. Defaults to 1e-5.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.
        sync_stats (bool): Whether mean and variance are those of the batches of all
            processes, as SyncBatchNorm's, and 'mean' divides by the samples of
            all: several processes then train as one with the whole batch. The authors'
            code is one process, which standardises over all of a batch (64 images on
            CIFAR-100, 512 or 256 on ImageNet), so that several processes need True to
            do the same. Defaults to False, each process has its own: of 20 classes 16
            samples did as well as 64, but 4 did not (``docs/results/statistics.md``).

    Raises:
        TypeError, ValueError: If ``tau`` or ``eps`` is not above 0 or ``sync_stats``
            no boolean; and as :class:`LogitLoss`.
    """

    def __init__(
        self,
        tau: float = 1.0,
        loss_weight: float = 1.0,
        eps: float = 1e-5,
        reduction: str = 'mean',
        sync_stats: bool = False,
    ) -> None:
        super().__init__(loss_weight, reduction)
        check_number(key_of(self, 'tau'), tau, above=0)
        check_number(key_of(self, 'eps'), eps, above=0)
        check_boolean(key_of(self, 'sync_stats'), sync_stats)
        self.tau = tau
        self.eps = eps
        self.sync_stats = sync_stats

    def divergence(
        self, preds_S: Tensor, preds_T: Tensor, gt_labels: Optional[Tensor]
    ) -> Tensor:
        own = not self.sync_stats or get_world_size() == 1
        if own and len(preds_S) == 1:
            self._warn_once(
                'a batch of one sample has no statistics, so its loss is 0 and '
                'teaches nothing; use a larger batch_size (accumulating gradients '
                'does not help), or sync_stats=True where several processes train'
            )
        return luminet_loss(preds_S, preds_T, self.tau, self.eps, self.sync_stats)

    def num_samples(self, loss: Tensor) -> Union[Tensor, int]:
        """See :meth:`LogitLoss.num_samples`.

        Returns:
            Tensor | int: With ``sync_stats`` the mean number of the processes, because
            DistributedDataParallel averages their gradients.
        """
        if not self.sync_stats:
            return super().num_samples(loss)
        count = loss.new_tensor(len(loss))
        all_reduce(count, 'mean')
        return count.clamp(min=1 / get_world_size())

    def extra_repr(self) -> str:
        return (
            f'tau={self.tau}, eps={self.eps}, {super().extra_repr()}, '
            f'sync_stats={self.sync_stats}'
        )
