from .at_loss import ATLoss, at_loss
from .crd_loss import CRDLoss
from .cwd_loss import CWDLoss, cwd_loss
from .feature_loss import FeatureLoss
from .fitnet_loss import FitNetLoss, fitnet_loss
from .map_loss import MapLoss
from .pkd_loss import PKDLoss, pkd_loss
from .rkd_loss import RKDLoss, rkd_loss

__all__ = [
    'ATLoss',
    'CRDLoss',
    'CWDLoss',
    'FeatureLoss',
    'FitNetLoss',
    'MapLoss',
    'PKDLoss',
    'RKDLoss',
    'at_loss',
    'cwd_loss',
    'fitnet_loss',
    'pkd_loss',
    'rkd_loss',
]
