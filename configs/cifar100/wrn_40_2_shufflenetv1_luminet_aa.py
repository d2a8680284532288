_base_ = './pairs/wrn_40_2_shufflenetv1_aa.py'

model = {{_base_.luminet}}
