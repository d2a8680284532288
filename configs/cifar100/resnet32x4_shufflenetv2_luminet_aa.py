_base_ = './pairs/resnet32x4_shufflenetv2_aa.py'

model = {{_base_.luminet}}
