from .backends import MLflowVisBackend, TensorboardVisBackend, WandbVisBackend
from .curves import draw_curves
from .detections import detect, detect_by_teachers, draw_detections
from .perceptions import draw_perceptions

__all__ = [
    'MLflowVisBackend',
    'TensorboardVisBackend',
    'WandbVisBackend',
    'detect',
    'detect_by_teachers',
    'draw_curves',
    'draw_detections',
    'draw_perceptions',
]
