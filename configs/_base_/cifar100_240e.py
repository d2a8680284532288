# Data and schedule of the published CIFAR-100 benchmark: SGD, 240 epochs at batch 64.
# Images stay in memory and are cropped and flipped as a batch on the GPU, which
# mmpretrain's pipeline, one image at a time, would keep waiting.
_base_ = 'mmpretrain::_base_/default_runtime.py'

data_root = 'data/cifar100/'
data_preprocessor = dict(
    type='luminet_mm.CropFlipDataPreprocessor',  # padding 4, flips half of them
    num_classes=100,
    # what the benchmark's published weights were trained with
    mean=[129.3105, 124.1085, 112.404],
    std=[68.2125, 65.4075, 70.4055],
    to_rgb=False,  # the files hold RGB
)

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='luminet_mm.CachedDataset',
        dataset=dict(
            type='CIFAR100',
            data_root=data_root,
            split='train',
            pipeline=[dict(type='PackInputs')],
        ),
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='luminet_mm.CachedDataset',
        dataset=dict(
            type='CIFAR100',
            data_root=data_root,
            split='test',
            pipeline=[dict(type='PackInputs')],
        ),
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator

train_cfg = dict(by_epoch=True, max_epochs=240, val_interval=1)
val_cfg = dict()
test_cfg = dict()

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = dict(type='MultiStepLR', milestones=[150, 180, 210], gamma=0.1)
auto_scale_lr = dict(base_batch_size=64)

default_hooks = dict(
    checkpoint=dict(type='luminet_mm.SafeCheckpointHook', interval=1, max_keep_ckpts=2)
)
env_cfg = dict(cudnn_benchmark=True)  # all batches have one shape

# Both let a model be that is not distilled
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook', interval=100),
    dict(type='luminet_mm.ComparisonHook'),
]
