from .at_loss import ATLoss, at_loss
from .crd_loss import CRDLoss
from .cwd_loss import CWDLoss, cwd_loss
from .fcfd_loss import FCFDLoss
from .feature_loss import FeatureLoss
from .fgd_loss import FGDLoss, fgd_loss
from .fgfi_loss import FGFILoss, fgfi_loss
from .fitnet_loss import FitNetLoss, fitnet_loss
from .map_loss import MapLoss
from .mgd_loss import MGDLoss, mgd_loss
from .ofd_loss import OFDLoss, ofd_loss, ofd_margin
from .pkd_loss import PKDLoss, pkd_loss
from .review_kd_loss import ReviewKDLoss, hierarchical_context_loss
from .rkd_loss import RKDLoss, rkd_loss

__all__ = [
    'ATLoss',
    'CRDLoss',
    'CWDLoss',
    'FCFDLoss',
    'FGDLoss',
    'FGFILoss',
    'FeatureLoss',
    'FitNetLoss',
    'MGDLoss',
    'MapLoss',
    'OFDLoss',
    'PKDLoss',
    'RKDLoss',
    'ReviewKDLoss',
    'at_loss',
    'cwd_loss',
    'fgd_loss',
    'fgfi_loss',
    'fitnet_loss',
    'hierarchical_context_loss',
    'mgd_loss',
    'ofd_loss',
    'ofd_margin',
    'pkd_loss',
    'rkd_loss',
]
