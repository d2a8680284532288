"""Why a model belongs to no family."""

from mmengine.model import BaseModel

from ...compat import is_instance

KINDS = (
    (
        'mmpretrain.models',
        ('BaseSelfSupervisor',),
        'self-supervised pretraining makes no class logits; distil a classifier that '
        'is fine-tuned from it',
    ),
    (
        'mmpretrain.models',
        ('BaseRetriever',),
        'retrievers compare features and make no class logits; distil a classifier',
    ),
    (
        'mmdet.models',
        ('SparseRCNN', 'MaskFormer'),
        'its queries are boxes of an R-CNN or masks, and only those of a '
        'DetectionTransformer (DETR, DINO, ...) are matched',
    ),
    (
        'mmdet.models',
        ('BaseMOTModel',),
        'trackers make no logits of their own; distil their detector alone',
    ),
    (
        'mmdet.models',
        ('SemiBaseDetector',),
        'semi-supervised detectors wrap two detectors; distil one of them alone',
    ),
)


def refusal(model: BaseModel) -> str:
    """Say why a model that no source fits cannot be distilled.

    Args:
        model (BaseModel): Any model.

    Returns:
        str: A sentence without a subject's name and a full stop, for error messages.
    """
    for module, names, why in KINDS:
        if any(is_instance(model, module, name) for name in names):
            return why
    if '.multimodal.' in type(model).__module__:
        return 'models of images and texts have no rows of class logits'
    if type(model).__module__.startswith('mmseg.'):
        return 'segmentors predict pixels, which no source takes yet'
    return (
        'it must be an image classifier of mmpretrain, or a detector of mmdet that is '
        'two-stage or dense; for another family, register a Source'
    )
