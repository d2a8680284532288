_base_ = './resnet8x4.py'

model = dict(backbone=dict(depth=14))
