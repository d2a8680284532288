from .at_loss import ATLoss, at_loss
from .crd_loss import CRDLoss
from .cwd_loss import CWDLoss, cwd_loss
from .feature_loss import FeatureLoss
from .fitnet_loss import FitNetLoss, fitnet_loss
from .map_loss import MapLoss
from .ofd_loss import OFDLoss, ofd_loss, ofd_margin
from .pkd_loss import PKDLoss, pkd_loss
from .review_kd_loss import ReviewKDLoss, hierarchical_context_loss
from .rkd_loss import RKDLoss, rkd_loss

__all__ = [
    'ATLoss',
    'CRDLoss',
    'CWDLoss',
    'FeatureLoss',
    'FitNetLoss',
    'MapLoss',
    'OFDLoss',
    'PKDLoss',
    'RKDLoss',
    'ReviewKDLoss',
    'at_loss',
    'cwd_loss',
    'fitnet_loss',
    'hierarchical_context_loss',
    'ofd_loss',
    'ofd_margin',
    'pkd_loss',
    'rkd_loss',
]
