# Tiny ImageNet at 32x32 in image folders, train/ and val/, one folder a class; its
# part with 100 classes has the shape of CIFAR-100.
_base_ = './cifar100_240e.py'

data_root = 'data/tiny-imagenet-32-a/'
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='CustomDataset',
            data_root=data_root,
            data_prefix='train',
            pipeline=pipeline,
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='CustomDataset',
            data_root=data_root,
            data_prefix='val',
            pipeline=pipeline,
        )
    )
)
test_dataloader = val_dataloader
