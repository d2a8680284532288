# Data and schedule of the published CIFAR-100 benchmark: SGD, 240 epochs at batch 64.
_base_ = [
    'mmpretrain::_base_/datasets/cifar100_bs16.py',
    'mmpretrain::_base_/default_runtime.py',
]

train_dataloader = dict(
    batch_size=64,
    collate_fn=dict(type='default_collate'),
    persistent_workers=True,
    drop_last=False,
)
val_dataloader = dict(
    batch_size=256,
    collate_fn=dict(type='default_collate'),
    persistent_workers=True,
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

default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
