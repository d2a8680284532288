# The assistant of `resnet32x4_resnet14x4_*_takd.py`, which come after this
_base_ = './resnet32x4_resnet8x4_kd.py'

model = dict(student=dict(cfg_path='{{fileDirname}}/resnet14x4.py'))
