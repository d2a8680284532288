from .feature_loss import FeatureLoss

__all__ = ['FeatureLoss']
