_base_ = './pairs/resnet50_mobilenetv1_in1k.py'

model = {{_base_.at}}
