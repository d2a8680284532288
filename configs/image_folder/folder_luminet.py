_base_ = './folder_student.py'

# The paper's values for ImageNet, whose images and networks these are.
model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/folder_student.py'),
    teacher=dict(cfg_path='{{fileDirname}}/folder_teacher.py'),
    teacher_ckpt=f'work_dirs/folder_teacher/epoch_{_base_.max_epochs}.pth',
    distill_losses=dict(
        loss_luminet=dict(type='luminet_mm.LuminetLoss', tau=0.7, loss_weight=2**2)
    ),
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='luminet_mm.ZeroLossHook'),
    dict(type='luminet_mm.ComparisonHook'),
]
default_hooks = dict(checkpoint=dict(type='luminet_mm.SafeCheckpointHook'))
