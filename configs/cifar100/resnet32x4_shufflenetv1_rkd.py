_base_ = './pairs/resnet32x4_shufflenetv1.py'

model = {{_base_.rkd}}
