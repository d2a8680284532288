from .digit_scenes import DIGITS, SPLITS, write_digit_scenes

__all__ = ['DIGITS', 'SPLITS', 'write_digit_scenes']
