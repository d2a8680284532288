_base_ = './resnet8x4.py'

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(
        cfg_path='{{fileDirname}}/resnet8x4.py', head=dict(loss=dict(loss_weight=2.0))
    ),
    teacher=dict(cfg_path='{{fileDirname}}/resnet32x4.py'),
    teacher_ckpt='work_dirs/resnet32x4/epoch_240.pth',
    distill_losses=dict(
        loss_luminet=dict(type='luminet_mm.LuminetLoss', tau=4.0, loss_weight=33**2)
    ),
    warmup=20,
)
