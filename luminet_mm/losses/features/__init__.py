from .at_loss import ATLoss, at_loss
from .feature_loss import FeatureLoss
from .fitnet_loss import FitNetLoss, fitnet_loss
from .ofd_loss import OFDLoss, ofd_loss, ofd_margin
from .review_kd_loss import ReviewKDLoss, hierarchical_context_loss
from .rkd_loss import RKDLoss, rkd_loss

__all__ = [
    'ATLoss',
    'FeatureLoss',
    'FitNetLoss',
    'OFDLoss',
    'RKDLoss',
    'ReviewKDLoss',
    'at_loss',
    'fitnet_loss',
    'hierarchical_context_loss',
    'ofd_loss',
    'ofd_margin',
    'rkd_loss',
]
