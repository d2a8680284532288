_base_ = ['../deit-compact_cifar.py', '../../_base_/cifar_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../deit-compact_cifar.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../deit-small_cifar.py'),
    teacher_ckpt='work_dirs/deit-small_cifar/epoch_240.pth',
)
