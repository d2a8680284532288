_base_ = './pairs/wrn_40_2_wrn_16_2.py'

model = {{_base_.ofd}}
