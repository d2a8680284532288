from .cwd_loss import CWDLoss, cwd_loss
from .feature_loss import FeatureLoss
from .map_loss import MapLoss
from .pkd_loss import PKDLoss, pkd_loss

__all__ = ['CWDLoss', 'FeatureLoss', 'MapLoss', 'PKDLoss', 'cwd_loss', 'pkd_loss']
