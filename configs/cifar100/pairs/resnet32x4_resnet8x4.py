_base_ = ['../resnet8x4.py', '../../_base_/cifar_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../resnet8x4.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../resnet32x4.py'),
    teacher_ckpt='work_dirs/resnet32x4/epoch_240.pth',
)
luminet = dict(distill_losses=dict(loss_luminet=dict(loss_weight=33**2)))
