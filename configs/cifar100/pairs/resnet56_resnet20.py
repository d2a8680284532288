_base_ = ['../resnet20.py', '../../_base_/cifar_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../resnet20.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../resnet56.py'),
    teacher_ckpt='work_dirs/resnet56/epoch_240.pth',
)
dkd = dict(distill_losses=dict(loss_dkd=dict(beta=2.0)))
reviewkd = dict(distill_losses=dict(loss_reviewkd=dict(loss_weight=0.6)))
fcfd = dict(distill_losses=dict(loss_fcfd=dict(appearance_weight=0.02)))
