# The assistant of all students of a ResNet-32x4, whose TAKD comes after this
_base_ = './resnet32x4_resnet8x4_kd.py'

model = dict(student=dict(cfg_path='{{fileDirname}}/resnet14x4.py'))
