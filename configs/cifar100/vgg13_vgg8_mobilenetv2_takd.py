_base_ = './vgg13_mobilenetv2_kd.py'

# The assistant is our choice: none is published
model = dict(
    teacher=dict(cfg_path='{{fileDirname}}/vgg8.py'),
    teacher_ckpt='work_dirs/vgg13_vgg8_kd/epoch_240.pth',
)
