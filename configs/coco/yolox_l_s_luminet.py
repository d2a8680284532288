_base_ = './pairs/yolox_l_s.py'

model = {{_base_.luminet}}
