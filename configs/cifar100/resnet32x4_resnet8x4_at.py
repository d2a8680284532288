_base_ = './pairs/resnet32x4_resnet8x4.py'

model = {{_base_.at}}
