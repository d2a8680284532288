from .dkd_loss import DKDLoss
from .kd_loss import KDLoss
from .logit_loss import LogitLoss
from .logit_standardization_loss import LogitStandardizationLoss
from .luminet_loss import LuminetLoss

# Last: some of these functions share their names with modules imported above.
from .functional import (  # isort: skip
    dkd_loss,
    kd_loss,
    kl_divergence,
    logit_standardization_loss,
    luminet_loss,
    perception,
    standardize,
)

__all__ = [
    'DKDLoss',
    'KDLoss',
    'LogitLoss',
    'LogitStandardizationLoss',
    'LuminetLoss',
    'dkd_loss',
    'kd_loss',
    'kl_divergence',
    'logit_standardization_loss',
    'luminet_loss',
    'perception',
    'standardize',
]
