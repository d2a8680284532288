# The settings of other detectors' methods are our choice here: none are published
_base_ = [
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    '../../_base_/zoo_pair.py',
]

model = dict(
    **_base_.distiller,
    student=dict(
        cfg_path='mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'
    ),  # 44.3 AP alone
    teacher=dict(
        cfg_path='mmdet::deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py'
    ),  # 47.0 AP
)
custom_hooks = _base_.distiller_hooks
default_hooks = _base_.distiller_default_hooks
