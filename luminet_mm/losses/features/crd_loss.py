from typing import Any, List, Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_reduce, get_world_size
from mmengine.runner import autocast
from torch import Tensor, nn

from ...checks import check_number, key_of
from ...registry import MODELS
from ..functional import widen
from .feature_loss import FeatureLoss, Layers


@MODELS.register_module()
class CRDLoss(FeatureLoss):
    r"""CRD: tell the teacher's view of an image from its views of other classes.

    Published in `Contrastive Representation Distillation
    <https://arxiv.org/abs/1910.10699>`_, section 3.1, whose N and M are K and N here.
    Student and teacher each have a linear embedding, l2-normalised, and a bank with the
    embedding of each of the N images of the data set. Noise-contrastive estimation
    finds the image's own row among K rows of images of other classes:

    .. math:: -\frac{1}{B} \sum_i \left[ \log \frac{p_{ii}}{p_{ii} + K/N + \epsilon} +
              \sum_{k=1}^{K} \log \frac{K/N}{p_{i j_k} + K/N + \epsilon} \right], \quad
              p_{ij} = \frac{\exp(e_i \cdot m_j / \tau)}{Z}

    once with e of the student and m of the teacher's bank, once the other way round;
    the loss is the sum of both. Z is N times the mean exponential of the very first
    batch. After each step the batch's rows become the normalised average of themselves
    and the new embeddings.

    Both embeddings are trained with the student; the teacher's feature gets no
    gradient. The banks, the classes of their rows and both Z are in the checkpoint.
    With several processes all have the same banks: each writes the rows of all batches,
    and Z is the mean over all.

    It needs the index of each image in the data set, ``sample_idx``, which mmengine's
    data sets give and mmpretrain's ``PackInputs`` keeps. Each image must have an index
    of its own, so ``ConcatDataset``, which counts each of its parts from 0, does not
    fit. The class of a row is known when its image has been seen: before, in the first
    epoch, the row is random and may be drawn for any image. Of an image that is twice
    in a batch, as of two views, one embedding is kept.

    The negatives are drawn with replacement, as noise-contrastive estimation has it;
    the authors' code draws K different ones.

    Args:
        layers (Sequence[tuple[str, str]], optional): See :class:`FeatureLoss`. Defaults
            to the pooled features, what the head classifies.
        num_samples (int): N, images of the training set. Defaults to 50000, those of
            CIFAR-100.
        num_negatives (int): K. Defaults to 16384, the authors' choice.
        embed_dims (int): Length of an embedding. Defaults to 128, the authors'.
        tau (float): Temperature. Defaults to 0.07, the authors' code's.
        momentum (float): Share of its old value that a row keeps. Defaults to 0.5, the
            authors'.
        eps (float): Added to the denominators. Defaults to 1e-7, the authors'.
        loss_weight (float): Factor of the whole loss. Defaults to 0.8, the authors' on
            CIFAR-100.

    Raises:
        TypeError, ValueError: If a setting is no such number; in ``connect``, for more
            than one pair of features. In ``forward``, for samples without a class or an
            index, for an index of N or more, and if all N images are of one class.
    """

    default_layers = (('pooled', 'pooled'),)
    dims = (2,)
    needs = ('gt_labels', 'data_samples')

    def __init__(
        self,
        layers: Optional[Layers] = None,
        num_samples: int = 50000,
        num_negatives: int = 16384,
        embed_dims: int = 128,
        tau: float = 0.07,
        momentum: float = 0.5,
        eps: float = 1e-7,
        loss_weight: float = 0.8,
    ) -> None:
        super().__init__(layers, loss_weight)
        self.num_samples_key = key_of(self, 'num_samples')
        check_number(self.num_samples_key, num_samples, at_least=2, integer=True)
        for name, count in (
            ('num_negatives', num_negatives),
            ('embed_dims', embed_dims),
        ):
            check_number(key_of(self, name), count, at_least=1, integer=True)
        check_number(key_of(self, 'tau'), tau, above=0)
        check_number(key_of(self, 'momentum'), momentum, at_least=0, at_most=1)
        check_number(key_of(self, 'eps'), eps, above=0)
        self.num_samples = num_samples
        self.num_negatives = num_negatives
        self.embed_dims = embed_dims
        self.tau = tau
        self.momentum = momentum
        self.eps = eps
        bound = (embed_dims / 3) ** -0.5  # rows have a length of about 1
        for who in 'ST':
            bank = torch.empty(num_samples, embed_dims).uniform_(-bound, bound)
            self.register_buffer(f'bank_{who}', bank)
            self.register_buffer(f'Z_{who}', torch.zeros(()))  # 0: not set yet
        # class of each row of the banks, -1 where the image has not been seen
        self.register_buffer('labels', torch.full((num_samples,), -1))
        self.has_classes = False  # whether two classes have been seen

    def connect(
        self, shapes_S: Sequence[Sequence[int]], shapes_T: Sequence[Sequence[int]]
    ) -> None:
        super().connect(shapes_S, shapes_T)
        if len(shapes_S) != 1:
            raise ValueError(
                f'{self.key}={self.layers}: CRDLoss has one pair of memory banks, for '
                f'one pair of features, but there are {len(shapes_S)}'
            )
        self.embed_S = nn.Linear(shapes_S[0][1], self.embed_dims)
        self.embed_T = nn.Linear(shapes_T[0][1], self.embed_dims)

    def distance(
        self,
        feats_S: List[Tensor],
        feats_T: List[Tensor],
        gt_labels: Optional[Tensor],
        data_samples: Sequence[Any],
    ) -> Tensor:
        if gt_labels is None:
            raise ValueError(
                'CRDLoss needs the class index of each image, but gt_labels is None: '
                'soft labels (mixup, CutMix) have none'
            )
        (feat_S,), (feat_T,) = feats_S, feats_T
        indices = torch.tensor(
            self._sample_indices(data_samples), dtype=torch.long, device=feat_T.device
        )
        all_indices, all_labels = _of_all_processes(indices, gt_labels)
        self.labels[all_indices] = all_labels
        self._check_classes()
        # autocast would compute the products of matrices in half precision
        with autocast(feat_T.device.type, enabled=False):
            embeds_S = F.normalize(self.embed_S(widen(feat_S)), dim=1)
            embeds_T = F.normalize(self.embed_T(feat_T), dim=1)
            rows = torch.cat([indices[:, None], self.draw(gt_labels)], dim=1)
            loss = self._contrast(embeds_S, self.bank_T, self.Z_T, rows)
            loss = loss + self._contrast(embeds_T, self.bank_S, self.Z_S, rows)
        with torch.no_grad():
            all_S, all_T = _of_all_processes(embeds_S.detach(), embeds_T.detach())
            for bank, embeds in ((self.bank_S, all_S), (self.bank_T, all_T)):
                mean = torch.lerp(embeds, bank[all_indices], self.momentum)
                bank[all_indices] = F.normalize(mean, dim=1)
        return loss

    def draw(self, gt_labels: Tensor) -> Tensor:
        """Draw rows of other classes, uniformly and with replacement.

        Args:
            gt_labels (Tensor): Class index of each image, shape (B,).

        Returns:
            Tensor: Rows of the banks, shape (B, K).
        """
        # Sorted by class, the rows of one class are a block to jump over.
        labels, order = self.labels.sort()
        gt_labels = gt_labels[:, None].contiguous()
        start = torch.searchsorted(labels, gt_labels)
        count = torch.searchsorted(labels, gt_labels, right=True) - start
        size = (len(gt_labels), self.num_negatives)
        # so large that the remainder is uniform to any precision
        drawn = torch.randint(2**62, size, device=labels.device)
        drawn = drawn % (len(labels) - count)
        return order[drawn + count * (drawn >= start)]

    def _contrast(
        self, embeds: Tensor, bank: Tensor, Z: Tensor, rows: Tensor
    ) -> Tensor:
        """Noise-contrastive estimation.

        Args:
            embeds (Tensor): Shape (B, D).
            bank (Tensor): The other model's, shape (N, D).
            Z (Tensor): The bank's normalisation, a scalar; set if it is 0.
            rows (Tensor): Rows of the bank, the image's own first, shape (B, 1 + K).

        Returns:
            Tensor: A scalar.
        """
        # All N products of an image cost less than to collect K vectors. The bank is
        # written to before backward reads it, so that needs a copy.
        products = embeds @ bank.clone().t()
        exps = (products.gather(1, rows) / self.tau).exp()
        mean = torch.stack([exps.detach().sum(), exps.new_tensor(exps.numel())])
        all_reduce(mean)
        estimate = self.num_samples * mean[0] / mean[1].clamp(min=1)
        Z.copy_(torch.where(Z > 0, Z, estimate))  # without waiting for the device

        probs = exps / Z
        noise = self.num_negatives / self.num_samples
        denominators = probs + noise + self.eps
        log_own = (probs[:, 0] / denominators[:, 0]).log()
        log_others = (noise / denominators[:, 1:]).log()
        return -(log_own.sum() + log_others.sum()) / max(len(embeds), 1)

    def _sample_indices(self, data_samples: Sequence[Any]) -> List[int]:
        indices = [sample.get('sample_idx') for sample in data_samples]
        if any(index is None for index in indices):
            raise ValueError(
                'CRDLoss needs the index of each image in the data set, but a data '
                "sample has no sample_idx: the data set's get_data_info must give it, "
                'and PackInputs keep it in its meta_keys'
            )
        indices = [int(index) for index in indices]
        for index in indices:
            if not 0 <= index < self.num_samples:
                raise ValueError(
                    f'{self.num_samples_key}={self.num_samples}: an image has the '
                    f'sample_idx {index}; num_samples must be the length of the '
                    'training set'
                )
        return indices

    def _check_classes(self) -> None:
        if self.has_classes:  # a look at the values has the CPU wait for the device
            return
        seen = self.labels[self.labels >= 0]
        self.has_classes = bool((seen != seen[:1]).any())
        if not self.has_classes and len(seen) == self.num_samples:
            raise ValueError(
                f'CRDLoss contrasts images of different classes, but all '
                f'{self.num_samples} of {self.num_samples_key} are of class {seen[0]}'
            )

    def extra_repr(self) -> str:
        return (
            f'{super().extra_repr()}, num_samples={self.num_samples}, '
            f'num_negatives={self.num_negatives}, embed_dims={self.embed_dims}, '
            f'tau={self.tau}, momentum={self.momentum}, eps={self.eps}'
        )


def _of_all_processes(*batches: Tensor) -> List[Tensor]:
    """Concatenate each of several tensors over all processes, in the order of ranks.

    Args:
        *batches (Tensor): Of this process, all of shape (B, ...); B may differ between
            processes.

    Returns:
        list[Tensor]: Each of shape (sum of B, ...).
    """
    if get_world_size() == 1:
        return list(batches)
    own = len(batches[0])
    counts = torch.cat(all_gather(torch.tensor([own], device=batches[0].device)))
    counts, gathered = counts.tolist(), []
    for batch in batches:
        padded = batch.new_zeros(max(counts), *batch.shape[1:])
        padded[:own] = batch
        parts = [part[:count] for part, count in zip(all_gather(padded), counts)]
        gathered.append(torch.cat(parts))
    return gathered
