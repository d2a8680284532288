_base_ = ['../shufflenetv2_cifar.py', '../../_base_/cifar_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../shufflenetv2_cifar.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../resnet32x4.py'),
    teacher_ckpt='work_dirs/resnet32x4/epoch_240.pth',
)
