# The settings of RetinaNet's methods are our choice here: none are published for GFL
_base_ = ['mmdet::gfl/gfl_r50_fpn_1x_coco.py', '../../_base_/dense_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='mmdet::gfl/gfl_r50_fpn_1x_coco.py'),
    teacher=dict(cfg_path='mmdet::gfl/gfl_r101_fpn_ms-2x_coco.py'),
    teacher_ckpt=None,  # the model zoo's weights, 44.7 AP; the student alone has 40.2
    warmup=1000,
    warmup_by_epoch=False,
)
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook'),
    dict(type='luminet_mm.ComparisonHook'),
]
default_hooks = dict(checkpoint=dict(type='luminet_mm.SafeCheckpointHook'))
