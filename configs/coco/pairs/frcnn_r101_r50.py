_base_ = './frcnn_r101_r18.py'

model = dict(
    student=dict(
        backbone=dict(depth=50, init_cfg=dict(checkpoint='torchvision://resnet50')),
        neck=dict(in_channels=[256, 512, 1024, 2048]),
    )
)
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook'),
    dict(type='luminet_mm.ComparisonHook', student_dir='work_dirs/frcnn_r50'),
]
