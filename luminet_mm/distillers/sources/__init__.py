from .base import LogitRows, LogitSource
from .classifier import ClassifierSource
from .dense import DenseSource
from .refusal import refusal
from .two_stage import TwoStageSource

__all__ = [
    'ClassifierSource',
    'DenseSource',
    'LogitRows',
    'LogitSource',
    'TwoStageSource',
    'refusal',
]
