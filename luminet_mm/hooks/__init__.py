from .comparison_hook import ComparisonHook
from .zero_loss_hook import ZeroLossHook

__all__ = ['ComparisonHook', 'ZeroLossHook']
