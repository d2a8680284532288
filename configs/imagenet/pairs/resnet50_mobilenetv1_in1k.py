_base_ = ['../mobilenetv1_in1k.py', '../../_base_/imagenet_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student={{_base_.model}},
    teacher=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'),
)
dkd = dict(distill_losses=dict(loss_dkd=dict(beta=2.0)))
reviewkd = dict(
    distill_losses=dict(loss_reviewkd=dict(mid_channels=256, loss_weight=8.0))
)

optim_wrapper = dict(optimizer=dict(lr=0.2))
auto_scale_lr = dict(base_batch_size=512)
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook', interval=100),
    dict(type='luminet_mm.ComparisonHook', student_dir='work_dirs/mobilenetv1_in1k'),
]
