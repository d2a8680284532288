from .zero_loss_hook import ZeroLossHook

__all__ = ['ZeroLossHook']
