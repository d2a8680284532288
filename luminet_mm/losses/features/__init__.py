from .crd_loss import CRDLoss
from .feature_loss import FeatureLoss

__all__ = ['CRDLoss', 'FeatureLoss']
