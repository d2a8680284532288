_base_ = ['../frcnn_mobilenetv2.py', '../../_base_/detection_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student={{_base_.model}},
    teacher=dict(cfg_path='mmdet::faster_rcnn/faster-rcnn_r50_fpn_ms-3x_coco.py'),
    teacher_ckpt=None,  # the model zoo's weights, 40.3 AP
    warmup=1000,
    warmup_by_epoch=False,
)
reviewkd = dict(distill_losses=dict(loss_reviewkd=dict(loss_weight=2.0)))
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook'),
    dict(type='luminet_mm.ComparisonHook', student_dir='work_dirs/frcnn_mobilenetv2'),
]
default_hooks = dict(checkpoint=dict(type='luminet_mm.SafeCheckpointHook'))
