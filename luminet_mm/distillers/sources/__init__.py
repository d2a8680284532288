from .base import Rows, Source
from .classifier import ClassifierSource
from .dense import DenseSource
from .features import FeatureSource
from .query import QuerySource
from .refusal import refusal
from .two_stage import TwoStageSource

__all__ = [
    'ClassifierSource',
    'DenseSource',
    'FeatureSource',
    'QuerySource',
    'Rows',
    'Source',
    'TwoStageSource',
    'refusal',
]
