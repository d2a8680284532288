_base_ = './resnet56_resnet20_kd.py'

model = dict(
    teacher=dict(cfg_path='{{fileDirname}}/resnet32.py'),
    teacher_ckpt='work_dirs/resnet56_resnet32_takd/epoch_240.pth',
)
