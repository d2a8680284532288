_base_ = './resnet14x4.py'

# The assistant of `resnet32x4_resnet14x4_resnet8x4_takd.py`, which comes after this
model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(
        cfg_path='{{fileDirname}}/resnet14x4.py', head=dict(loss=dict(loss_weight=0.1))
    ),
    teacher=dict(cfg_path='{{fileDirname}}/resnet32x4.py'),
    teacher_ckpt='work_dirs/resnet32x4/epoch_240.pth',
    distill_losses=dict(
        loss_kd=dict(type='luminet_mm.KDLoss', tau=4.0, loss_weight=0.9)
    ),
)
