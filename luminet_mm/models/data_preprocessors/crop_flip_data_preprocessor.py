from typing import Any, Sequence, Union

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank, get_world_size
from mmpretrain.models import ClsDataPreprocessor
from torch import Tensor

from ...checks import check_number
from ...registry import MODELS


@MODELS.register_module()
class CropFlipDataPreprocessor(ClsDataPreprocessor):
    """mmpretrain's preprocessor, which in training crops and flips at random.

    It draws what mmpretrain's transforms ``RandomCrop(crop_size, padding)``, for
    a ``crop_size`` that is the image's own size, and ``RandomFlip(prob)`` draw,
    with the same probabilities and independently for each image, but for a whole
    batch at once and on the batch's device. The raw pixels are padded with
    zeros, so padding becomes a normalised black as there.

    Args:
        padding (int): Rows and columns of zeros on each side; each of the
            (2 * padding + 1) ** 2 crops is equally likely. 0 crops nothing.
            Defaults to 4, as CIFAR recipes have it.
        flip_prob (float): Probability of a horizontal flip. Defaults to 0.5, as
            CIFAR recipes have it.
        **kwargs: Those of mmpretrain's ``ClsDataPreprocessor``: ``mean``,
            ``std``, ``to_rgb``, ``num_classes``, ``batch_augments``, ...

    Raises:
        TypeError, ValueError: If ``padding`` is no integer from 0 or ``flip_prob`` is
            not from 0 to 1; in training, if a batch has images of different sizes.
    """

    def __init__(self, padding: int = 4, flip_prob: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_number('data_preprocessor.padding', padding, at_least=0, integer=True)
        check_number('data_preprocessor.flip_prob', flip_prob, at_least=0, at_most=1)
        self.padding = padding
        self.flip_prob = flip_prob

    def forward(self, data: dict, training: bool = False) -> dict:
        """Augment the batch in training, then do as the parent does.

        Args:
            data (dict): ``inputs``, raw pixels of the shape (B, C, H, W) or a
                list of B tensors of the shape (C, H, W), and ``data_samples``.
            training (bool): Whether to crop and flip. Defaults to False.

        Returns:
            dict: ``inputs``, float, shape (B, C, H', W') with H' and W' multiples
            of ``pad_size_divisor``, and ``data_samples``.
        """
        if training:
            images = _stack(self.cast_data(data['inputs']))
            data = dict(data, inputs=self._crop_and_flip(images))
        return super().forward(data, training)

    def _crop_and_flip(self, images: Tensor) -> Tensor:
        num_images, _, height, width = images.shape
        # Processes share a seed: each draws for all and takes its own share,
        # since otherwise all would crop their n-th image alike.
        draws, rank = (get_world_size(), num_images), get_rank()
        device = images.device
        offsets = torch.randint(2 * self.padding + 1, (2, *draws), device=device)
        top, left = offsets[:, rank]
        flipped = torch.rand(draws, device=device)[rank] < self.flip_prob

        # every crop that there is, a view of the shape (B, C, top, left, H, W)
        crops = F.pad(images, (self.padding,) * 4)
        crops = crops.unfold(2, height, 1).unfold(3, width, 1)
        images = crops[torch.arange(num_images, device=device), :, top, left]
        return torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)


def _stack(images: Union[Tensor, Sequence[Tensor]]) -> Tensor:
    """One tensor of what ``pseudo_collate`` leaves as a list."""
    if isinstance(images, Tensor):
        return images
    shapes = sorted({tuple(image.shape) for image in images})
    if len(shapes) > 1:
        raise ValueError(
            'CropFlipDataPreprocessor: a batch has images of the shapes (channels, '
            f'height, width) {shapes}; bring them to one size by '
            "dict(type='Resize', scale=(width, height)) in the data set's pipeline"
        )
    return torch.stack(list(images))
