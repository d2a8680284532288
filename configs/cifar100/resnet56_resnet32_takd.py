# The assistant of `resnet56_resnet32_resnet20_takd.py`, which comes after this
_base_ = './resnet56_resnet20_kd.py'

model = dict(student=dict(cfg_path='{{fileDirname}}/resnet32.py'))
