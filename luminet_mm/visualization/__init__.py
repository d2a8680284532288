from .backends import MLflowVisBackend, TensorboardVisBackend, WandbVisBackend
from .curves import draw_curves
from .detections import detect, detect_by_teachers, draw_detections
from .perceptions import draw_perceptions
from .trained import curves_of, detections_of, perceptions_of

__all__ = [
    'MLflowVisBackend',
    'TensorboardVisBackend',
    'WandbVisBackend',
    'curves_of',
    'detect',
    'detect_by_teachers',
    'detections_of',
    'draw_curves',
    'draw_detections',
    'draw_perceptions',
    'perceptions_of',
]
