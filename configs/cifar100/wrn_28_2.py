_base_ = './wrn_16_2.py'

model = dict(backbone=dict(depth=28))
