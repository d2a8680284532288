from .cwd_loss import CWDLoss, cwd_loss
from .feature_loss import FeatureLoss
from .fgd_loss import FGDLoss, fgd_loss
from .fgfi_loss import FGFILoss, fgfi_loss
from .map_loss import MapLoss
from .mgd_loss import MGDLoss, mgd_loss
from .pkd_loss import PKDLoss, pkd_loss

__all__ = [
    'CWDLoss',
    'FGDLoss',
    'FGFILoss',
    'FeatureLoss',
    'MGDLoss',
    'MapLoss',
    'PKDLoss',
    'cwd_loss',
    'fgd_loss',
    'fgfi_loss',
    'mgd_loss',
    'pkd_loss',
]
