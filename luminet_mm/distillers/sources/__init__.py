from .base import LogitRows, LogitSource
from .classifier import ClassifierSource
from .two_stage import TwoStageSource

__all__ = ['ClassifierSource', 'LogitRows', 'LogitSource', 'TwoStageSource']
