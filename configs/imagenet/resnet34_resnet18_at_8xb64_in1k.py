_base_ = './pairs/resnet34_resnet18_in1k.py'

model = {{_base_.at}}
