_base_ = './deit-compact_cifar.py'

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(
        cfg_path='{{fileDirname}}/deit-compact_cifar.py',
        head=dict(loss=dict(loss_weight=2.0)),
    ),
    teacher=dict(cfg_path='{{fileDirname}}/deit-small_cifar.py'),
    teacher_ckpt='work_dirs/deit-small_cifar/epoch_240.pth',
    distill_losses=dict(
        loss_luminet=dict(type='luminet_mm.LuminetLoss', tau=4.0, loss_weight=31**2)
    ),
    warmup=20,
)
