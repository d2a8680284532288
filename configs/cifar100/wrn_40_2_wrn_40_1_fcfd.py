_base_ = './pairs/wrn_40_2_wrn_40_1.py'

model = {{_base_.fcfd}}
