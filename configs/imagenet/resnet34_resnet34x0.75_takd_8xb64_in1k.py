# The assistant of `resnet34_resnet34x0.75_resnet18_takd_8xb64_in1k.py`, comes first
_base_ = './resnet34_resnet18_kd_8xb64_in1k.py'

model = dict(student=dict(cfg_path='{{fileDirname}}/resnet34x0.75_in1k.py'))
