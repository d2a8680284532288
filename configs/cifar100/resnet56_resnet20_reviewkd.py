_base_ = './pairs/resnet56_resnet20.py'

model = {{_base_.reviewkd}}
