from .at_loss import ATLoss, at_loss
from .feature_loss import FeatureLoss
from .fitnet_loss import FitNetLoss, fitnet_loss
from .rkd_loss import RKDLoss, rkd_loss

__all__ = [
    'ATLoss',
    'FeatureLoss',
    'FitNetLoss',
    'RKDLoss',
    'at_loss',
    'fitnet_loss',
    'rkd_loss',
]
