_base_ = './pairs/resnet110_resnet32.py'

model = {{_base_.reviewkd}}
