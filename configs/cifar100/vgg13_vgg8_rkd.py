_base_ = './pairs/vgg13_vgg8.py'

model = {{_base_.rkd}}
