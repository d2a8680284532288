_base_ = '../_base_/tinyimagenet32_240e.py'

# Figure 4(a): a linear classifier of Tiny ImageNet's 200 classes on the features of a
# WRN-16-2 that was distilled on CIFAR-100. The paper gives no schedule for it.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='luminet_mm.WideResNet',
        depth=16,
        widen_factor=2,
        frozen_stages=4,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/wrn_40_2_wrn_16_2_luminet/epoch_240.pth',
            prefix='backbone.',
        ),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=200,
        in_channels=128,
        loss=dict(type='CrossEntropyLoss'),
    ),
)

data_root = 'data/tiny-imagenet-32/'
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
test_dataloader = val_dataloader
# The pixels that the features were learned from, CIFAR-100's
data_preprocessor = dict(
    num_classes=200,
    mean=[129.3105, 124.1085, 112.404],
    std=[68.2125, 65.4075, 70.4055],
)

train_cfg = dict(max_epochs=40)
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=0.0))
param_scheduler = dict(milestones=[15, 25, 35])
