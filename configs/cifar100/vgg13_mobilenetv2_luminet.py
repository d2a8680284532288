_base_ = './mobilenetv2_cifar.py'

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(
        cfg_path='{{fileDirname}}/mobilenetv2_cifar.py',
        head=dict(loss=dict(loss_weight=2.0)),
    ),
    teacher=dict(cfg_path='{{fileDirname}}/vgg13.py'),
    teacher_ckpt='work_dirs/vgg13/epoch_240.pth',
    distill_losses=dict(
        loss_luminet=dict(type='luminet_mm.LuminetLoss', tau=8.0, loss_weight=70**2)
    ),
    warmup=20,
)
