_base_ = './pairs/wrn_40_2_wrn_16_2_aa.py'

model = {{_base_.mlkd}}
optim_wrapper = dict(optimizer=dict(lr=0.025))
