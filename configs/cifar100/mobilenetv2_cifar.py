_base_ = '../_base_/cifar100_240e.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='luminet_mm.CIFARMobileNetV2'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=1280,
        loss=dict(type='CrossEntropyLoss'),
    ),
)

optim_wrapper = dict(optimizer=dict(lr=0.01))
