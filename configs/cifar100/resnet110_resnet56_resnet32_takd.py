_base_ = './resnet110_resnet32_kd.py'

# The assistant is our choice: none is published
model = dict(
    teacher=dict(cfg_path='{{fileDirname}}/resnet56.py'),
    teacher_ckpt='work_dirs/resnet110_resnet56_takd/epoch_240.pth',
)
