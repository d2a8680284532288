from .base_distiller import BaseDistiller
from .logit_distiller import LogitDistiller
from .mutual_distiller import MutualDistiller

__all__ = ['BaseDistiller', 'LogitDistiller', 'MutualDistiller']
