_base_ = ['../vgg8.py', '../../_base_/cifar_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../vgg8.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../vgg13.py'),
    teacher_ckpt='work_dirs/vgg13/epoch_240.pth',
)
luminet = dict(
    student=dict(head=dict(loss=dict(loss_weight=1.0))),
    distill_losses=dict(loss_luminet=dict(tau=8.0, loss_weight=70**2)),
)
dkd = dict(distill_losses=dict(loss_dkd=dict(beta=6.0)))
