_base_ = './digits_student.py'

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student={{_base_.model}},
    teacher=dict(cfg_path='{{fileDirname}}/digits_teacher.py'),
    teacher_ckpt='work_dirs/demo/teacher/epoch_4.pth',
    distill_losses=dict(
        loss_luminet=dict(type='luminet_mm.LuminetLoss', tau=1.0, loss_weight=1.0)
    ),
    # In iterations, as the RPN needs some before its proposals meet any digit
    warmup=250,
    warmup_by_epoch=False,
)
custom_hooks = [dict(type='luminet_mm.ZeroLossHook', interval=25)]
