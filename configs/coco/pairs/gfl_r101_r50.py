# The settings of RetinaNet's methods are our choice here: none are published for GFL
_base_ = ['mmdet::gfl/gfl_r50_fpn_1x_coco.py', '../../_base_/zoo_pair.py']

model = dict(
    **_base_.distiller,
    student=dict(cfg_path='mmdet::gfl/gfl_r50_fpn_1x_coco.py'),  # 40.2 AP alone
    teacher=dict(cfg_path='mmdet::gfl/gfl_r101_fpn_ms-2x_coco.py'),  # 44.7 AP
)
custom_hooks = _base_.distiller_hooks
default_hooks = _base_.distiller_default_hooks
