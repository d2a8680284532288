_base_ = '../_base_/cifar100_240e.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='luminet_mm.CIFARShuffleNetV1'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        in_channels=960,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=None,  # torch's own, as the benchmark's
    ),
)

optim_wrapper = dict(optimizer=dict(lr=0.01))
