_base_ = './pairs/rtmdet_l_tiny.py'

model = {{_base_.luminet}}
