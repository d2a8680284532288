from .cached_dataset import CachedDataset
from .digit_scenes import DIGITS, SPLITS, write_digit_scenes

__all__ = ['DIGITS', 'SPLITS', 'CachedDataset', 'write_digit_scenes']
