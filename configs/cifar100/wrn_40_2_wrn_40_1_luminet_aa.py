_base_ = './pairs/wrn_40_2_wrn_40_1_aa.py'

model = {{_base_.luminet}}
