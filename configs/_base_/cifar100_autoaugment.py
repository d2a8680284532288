# AutoAugment works on one image at a time, so images come from upstream's pipeline,
# cropped and flipped there. For `train_dataloader` of a config that inherits this.
autoaugment = dict(
    num_workers=4,
    persistent_workers=True,
    dataset=dict(
        _delete_=True,
        type='CIFAR100',
        data_root='data/cifar100/',
        split='train',
        pipeline=[
            dict(type='RandomCrop', crop_size=32, padding=4),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='luminet_mm.CIFARAutoAugment'),
            dict(type='PackInputs'),
        ],
    ),
)
