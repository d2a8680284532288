_base_ = './resnet56_resnet20_kd.py'

# The assistant is our choice: none is published
model = dict(
    teacher=dict(cfg_path='{{fileDirname}}/resnet32.py'),
    teacher_ckpt='work_dirs/resnet56_resnet32_takd/epoch_240.pth',
)
