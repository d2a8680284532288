_base_ = [
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    '../../_base_/detection_methods.py',
]

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'),
    teacher=dict(
        cfg_path='mmdet::faster_rcnn/faster-rcnn_x101-64x4d_fpn_ms-3x_coco.py'
    ),
    teacher_ckpt=None,  # the model zoo's weights, 43.1 AP; the student alone has 37.4
    warmup=1000,
    warmup_by_epoch=False,
)
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook'),
    dict(type='luminet_mm.ComparisonHook'),
]
default_hooks = dict(checkpoint=dict(type='luminet_mm.SafeCheckpointHook'))
