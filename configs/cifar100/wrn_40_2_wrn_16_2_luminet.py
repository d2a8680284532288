_base_ = './wrn_16_2.py'

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(
        cfg_path='{{fileDirname}}/wrn_16_2.py', head=dict(loss=dict(loss_weight=2.0))
    ),
    teacher=dict(cfg_path='{{fileDirname}}/wrn_40_2.py'),
    teacher_ckpt='work_dirs/wrn_40_2/epoch_240.pth',
    distill_losses=dict(
        loss_luminet=dict(type='luminet_mm.LuminetLoss', tau=4.0, loss_weight=31**2)
    ),
    warmup=20,
)
