_base_ = './pairs/vgg13_vgg8_aa.py'

model = {{_base_.luminet}}
