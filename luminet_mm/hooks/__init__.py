from .comparison_hook import ComparisonHook
from .distill_visualization_hook import DistillVisualizationHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .teacher_share_hook import TeacherShareHook
from .zero_loss_hook import ZeroLossHook

__all__ = [
    'ComparisonHook',
    'DistillVisualizationHook',
    'SafeCheckpointHook',
    'TeacherShareHook',
    'ZeroLossHook',
]
