_base_ = '../_base_/tinyimagenet32_240e.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='luminet_mm.CIFARVGG', depth=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
