from .cached_dataset import CachedDataset
from .cifar_auto_augment import CIFARAutoAugment
from .digit_scenes import DIGITS, SPLITS, write_digit_scenes

__all__ = [
    'DIGITS',
    'SPLITS',
    'CIFARAutoAugment',
    'CachedDataset',
    'write_digit_scenes',
]
