_base_ = './pairs/vgg13_mobilenetv2.py'

model = {{_base_.crd}}
