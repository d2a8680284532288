_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
    '../../_base_/imagenet_methods.py',
]

model = dict(
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../resnet18_in1k.py'),
    teacher=dict(cfg_path='mmpretrain::resnet/resnet34_8xb32_in1k.py'),
)
dkd = dict(distill_losses=dict(loss_dkd=dict(beta=0.5)))
reviewkd = dict(
    distill_losses=dict(
        loss_reviewkd=dict(
            # its authors take the student's before the activation, too
            layers=[('preactivations', 'preactivations'), ('pooled', 'pooled')],
            loss_weight=1.0,
        )
    )
)
fcfd = dict(distill_losses=dict(loss_fcfd=dict(appearance_weight=0.02)))

optim_wrapper = dict(optimizer=dict(lr=0.2))
auto_scale_lr = dict(base_batch_size=512)
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook', interval=100),
    dict(type='luminet_mm.ComparisonHook'),
]
default_hooks = dict(checkpoint=dict(type='luminet_mm.SafeCheckpointHook'))
