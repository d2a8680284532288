_base_ = './mobilenetv1_in1k.py'

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student={{_base_.model}},
    teacher=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'),
    distill_losses=dict(
        loss_luminet=dict(
            type='luminet_mm.LuminetLoss',
            tau=0.7,
            loss_weight=2**2,
            sync_stats=True,  # over all 256 images, as the authors' one process
        )
    ),
    warmup=1,
)
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook', interval=100),
    dict(type='luminet_mm.ComparisonHook', student_dir='work_dirs/mobilenetv1_in1k'),
]
