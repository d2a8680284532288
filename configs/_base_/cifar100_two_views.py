# Each image as a plain view and as one that is augmented strongly, which works on one
# image at a time. For `train_dataloader` of a config that inherits this. Operations and
# ranges are those of the code of multi-level distillation, drawn by mmpretrain's.
two_views = dict(
    num_workers=4,
    persistent_workers=True,
    dataset=dict(
        _delete_=True,
        type='CIFAR100',
        data_root='data/cifar100/',
        split='train',
        pipeline=[
            dict(
                type='MultiView',
                num_views=[1, 1],
                transforms=[
                    [
                        dict(type='RandomCrop', crop_size=32, padding=4),
                        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                    ],
                    [
                        dict(type='RandomCrop', crop_size=32, padding=4),
                        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                        dict(
                            type='RandAugment',
                            num_policies=2,
                            magnitude_level=10,
                            magnitude_std='inf',  # uniform over each range
                            hparams=dict(pad_val=0, prob=1.0),
                            policies=[
                                dict(type='Rotate', angle=0.0),  # as it is
                                dict(type='AutoContrast'),
                                dict(type='Equalize'),
                                dict(type='Posterize', magnitude_range=(4, 8)),
                                dict(type='Solarize', magnitude_range=(0, 256)),
                                dict(type='Rotate', magnitude_range=(0, 30)),
                                *[
                                    dict(type=name, magnitude_range=(0, 0.3), **axis)
                                    for name in ('Shear', 'Translate')
                                    for axis in (
                                        dict(direction='horizontal'),
                                        dict(direction='vertical'),
                                    )
                                ],
                                *[
                                    dict(
                                        type=name,
                                        magnitude_range=(0.05, 0.95),
                                        random_negative_prob=1.0,  # less of it
                                    )
                                    for name in (
                                        'Brightness',
                                        'ColorTransform',
                                        'Contrast',
                                        'Sharpness',
                                    )
                                ],
                            ],
                        ),
                        dict(
                            type='Cutout',
                            magnitude_range=(0, 16),  # pixels of a side
                            magnitude_std='inf',
                            pad_val=(125, 123, 114),
                            prob=1.0,
                        ),
                    ],
                ],
            ),
            dict(type='PackInputs'),
        ],
    ),
)
