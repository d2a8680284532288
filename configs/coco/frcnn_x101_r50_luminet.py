_base_ = './pairs/frcnn_x101_r50.py'

model = {{_base_.luminet}}
