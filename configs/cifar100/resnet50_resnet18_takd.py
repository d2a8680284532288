# The assistant of `resnet50_resnet18_mobilenetv2_takd.py`, which comes after this
_base_ = './resnet50_mobilenetv2_kd.py'

model = dict(student=dict(cfg_path='{{fileDirname}}/resnet18_cifar.py'))
optim_wrapper = dict(optimizer=dict(lr=0.05))  # MobileNetV2's is lower
