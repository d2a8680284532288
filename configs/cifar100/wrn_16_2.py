_base_ = './wrn_16_1.py'

model = dict(backbone=dict(widen_factor=2), head=dict(in_channels=128))
