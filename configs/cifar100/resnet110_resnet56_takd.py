# The assistant of `resnet110_resnet56_resnet32_takd.py`, which comes after this
_base_ = './resnet110_resnet32_kd.py'

model = dict(student=dict(cfg_path='{{fileDirname}}/resnet56.py'))
