import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from ..registry import TRANSFORMS


@TRANSFORMS.register_module()
class CIFARAutoAugment(BaseTransform):
    """The policy that `AutoAugment <https://arxiv.org/abs/1805.09501>`_ found on
    CIFAR, its Table 7, as torchvision draws it.

    mmpretrain has ImageNet's policy only, and a config cannot name torchvision's,
    which is chosen by an enumeration. Changes ``img``, shape (H, W, 3), uint8,
    RGB as mmpretrain's CIFAR data sets give it.
    """

    def __init__(self) -> None:
        # mmpretrain needs torchvision; whoever has mmdet alone may not have it
        from torchvision.transforms import AutoAugment, AutoAugmentPolicy

        self.augment = AutoAugment(AutoAugmentPolicy.CIFAR10)

    def transform(self, results: dict) -> dict:
        """Augment one image.

        Args:
            results (dict): Holds ``img``.

        Returns:
            dict: The same with a new ``img``.
        """
        results['img'] = np.array(self.augment(Image.fromarray(results['img'])))
        return results
