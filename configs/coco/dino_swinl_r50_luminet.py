_base_ = './pairs/dino_swinl_r50.py'

model = {{_base_.luminet}}
