from .base import Rows, Source
from .classifier import ClassifierSource
from .dense import DenseSource
from .refusal import refusal
from .two_stage import TwoStageSource

__all__ = [
    'ClassifierSource',
    'DenseSource',
    'Rows',
    'Source',
    'TwoStageSource',
    'refusal',
]
