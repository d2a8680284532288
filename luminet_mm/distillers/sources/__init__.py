from .base import Rows, Source
from .classifier import ClassifierSource
from .dense import DenseSource
from .features import FeatureSource
from .refusal import refusal
from .two_stage import TwoStageSource

__all__ = [
    'ClassifierSource',
    'DenseSource',
    'FeatureSource',
    'Rows',
    'Source',
    'TwoStageSource',
    'refusal',
]
