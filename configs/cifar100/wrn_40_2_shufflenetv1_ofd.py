_base_ = './pairs/wrn_40_2_shufflenetv1.py'

model = {{_base_.ofd}}
