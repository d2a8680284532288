from .kd_loss import KDLoss
from .logit_loss import LogitLoss
from .luminet_loss import LuminetLoss

# Last: two of these functions share their names with modules imported above.
from .functional import kd_loss, kl_divergence, luminet_loss, perception  # isort: skip

__all__ = [
    'KDLoss',
    'LogitLoss',
    'LuminetLoss',
    'kd_loss',
    'kl_divergence',
    'luminet_loss',
    'perception',
]
