_base_ = ['../resnet32.py', '../../_base_/cifar_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../resnet32.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../resnet110.py'),
    teacher_ckpt='work_dirs/resnet110/epoch_240.pth',
)
dkd = dict(distill_losses=dict(loss_dkd=dict(beta=2.0)))
reviewkd = dict(distill_losses=dict(loss_reviewkd=dict(loss_weight=1.0)))
