_base_ = './pairs/rtmdet_s_quarter_bccd.py'

model = {{_base_.luminet}}
