_base_ = './wrn_16_1.py'

model = dict(backbone=dict(depth=40))
