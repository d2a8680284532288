_base_ = './resnet32x4_shufflenetv2_kd.py'

# The assistant is our choice: none is published
model = dict(
    teacher=dict(cfg_path='{{fileDirname}}/resnet14x4.py'),
    teacher_ckpt='work_dirs/resnet32x4_resnet14x4_takd/epoch_240.pth',
)
