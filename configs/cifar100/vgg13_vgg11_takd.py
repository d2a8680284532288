# The assistant of `vgg13_vgg11_vgg8_takd.py`, which comes after this
_base_ = './vgg13_vgg8_kd.py'

model = dict(student=dict(cfg_path='{{fileDirname}}/vgg11.py'))
