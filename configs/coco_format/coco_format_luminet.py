_base_ = './coco_format_student.py'

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/coco_format_student.py'),
    teacher=dict(cfg_path='{{fileDirname}}/coco_format_teacher.py'),
    teacher_ckpt=f'work_dirs/coco_format_teacher/epoch_{_base_.max_epochs}.pth',
    # The paper gives no tau and weight for detection
    distill_losses=dict(
        loss_luminet=dict(type='luminet_mm.LuminetLoss', tau=1.0, loss_weight=1.0)
    ),
    # In iterations, as the student's class layer is new at the start
    warmup=100,
    warmup_by_epoch=False,
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='luminet_mm.ZeroLossHook'),
    dict(type='luminet_mm.ComparisonHook'),
]
default_hooks = dict(checkpoint=dict(type='luminet_mm.SafeCheckpointHook'))
