_base_ = '../_base_/tinyimagenet32_240e.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='luminet_mm.CIFARResNet', depth=20),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=64,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=None,  # torch's own, as the benchmark's
    ),
)
