_base_ = './pairs/resnet50_mobilenetv2.py'

model = {{_base_.at}}
