_base_ = './pairs/cascade-mask_x101_frcnn_r50.py'

model = {{_base_.luminet}}
