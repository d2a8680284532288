_base_ = './resnet50_mobilenetv2_kd.py'

# The assistant is our choice: none is published
model = dict(
    teacher=dict(cfg_path='{{fileDirname}}/resnet18_cifar.py'),
    teacher_ckpt='work_dirs/resnet50_resnet18_takd/epoch_240.pth',
)
