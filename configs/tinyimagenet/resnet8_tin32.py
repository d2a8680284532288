_base_ = './resnet20_tin32.py'

model = dict(backbone=dict(depth=8))
