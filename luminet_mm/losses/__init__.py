from .box_loss import BoxLoss
from .dist_loss import DISTLoss
from .dkd_loss import DKDLoss
from .features import (
    ATLoss,
    CRDLoss,
    CWDLoss,
    FeatureLoss,
    FitNetLoss,
    PKDLoss,
    RKDLoss,
    at_loss,
    cwd_loss,
    fitnet_loss,
    pkd_loss,
    rkd_loss,
)
from .kd_loss import KDLoss
from .logit_loss import LogitLoss
from .logit_standardization_loss import LogitStandardizationLoss
from .luminet_loss import LuminetLoss
from .multi_level_loss import MultiLevelLoss

# Last: most of these functions share their names with modules imported above.
from .functional import (  # isort: skip
    box_loss,
    dist_loss,
    dkd_loss,
    kd_loss,
    kl_divergence,
    logit_standardization_loss,
    luminet_loss,
    multi_level_loss,
    perception,
    standardize,
)

__all__ = [
    'ATLoss',
    'BoxLoss',
    'CRDLoss',
    'CWDLoss',
    'DISTLoss',
    'DKDLoss',
    'FeatureLoss',
    'FitNetLoss',
    'KDLoss',
    'LogitLoss',
    'LogitStandardizationLoss',
    'LuminetLoss',
    'MultiLevelLoss',
    'PKDLoss',
    'RKDLoss',
    'at_loss',
    'box_loss',
    'cwd_loss',
    'dist_loss',
    'dkd_loss',
    'fitnet_loss',
    'kd_loss',
    'kl_divergence',
    'logit_standardization_loss',
    'luminet_loss',
    'multi_level_loss',
    'perception',
    'pkd_loss',
    'rkd_loss',
    'standardize',
]
