_base_ = './resnet34_resnet18_kd_8xb64_in1k.py'

# The assistant is our choice: none is published
model = dict(
    teacher=dict(cfg_path='{{fileDirname}}/resnet34x0.75_in1k.py'),
    teacher_ckpt='work_dirs/resnet34_resnet34x0.75_takd_8xb64_in1k/epoch_100.pth',
)
