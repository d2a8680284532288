_base_ = './vgg13_vgg8_kd.py'

# The assistant is our choice: none is published
model = dict(
    teacher=dict(cfg_path='{{fileDirname}}/vgg11.py'),
    teacher_ckpt='work_dirs/vgg13_vgg11_takd/epoch_240.pth',
)
