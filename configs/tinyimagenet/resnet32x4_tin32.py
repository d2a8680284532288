_base_ = './resnet8x4_tin32.py'

model = dict(backbone=dict(depth=32))
