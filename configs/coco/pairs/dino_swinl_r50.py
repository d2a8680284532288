# The settings of other detectors' methods are our choice here: none are published
_base_ = ['mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py', '../../_base_/zoo_pair.py']

model = dict(
    **_base_.distiller,
    student=dict(
        cfg_path='mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'
    ),  # 49.0 AP alone
    teacher=dict(cfg_path='mmdet::dino/dino-5scale_swin-l_8xb2-12e_coco.py'),  # 57.2 AP
)
custom_hooks = _base_.distiller_hooks
default_hooks = _base_.distiller_default_hooks
