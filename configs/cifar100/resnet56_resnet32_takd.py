_base_ = './resnet32.py'

# The assistant of `resnet56_resnet32_resnet20_takd.py`, which comes after this
model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(
        cfg_path='{{fileDirname}}/resnet32.py', head=dict(loss=dict(loss_weight=0.1))
    ),
    teacher=dict(cfg_path='{{fileDirname}}/resnet56.py'),
    teacher_ckpt='work_dirs/resnet56/epoch_240.pth',
    distill_losses=dict(
        loss_kd=dict(type='luminet_mm.KDLoss', tau=4.0, loss_weight=0.9)
    ),
)
