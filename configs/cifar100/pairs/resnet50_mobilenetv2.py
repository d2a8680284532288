_base_ = ['../mobilenetv2_cifar.py', '../../_base_/cifar_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../mobilenetv2_cifar.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../resnet50_cifar.py'),
    teacher_ckpt='work_dirs/resnet50_cifar/epoch_240.pth',
)
luminet = dict(distill_losses=dict(loss_luminet=dict(tau=8.0, loss_weight=70**2)))
