_base_ = './pairs/resnet32x4_shufflenetv2.py'

model = {{_base_.rkd}}
