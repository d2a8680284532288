_base_ = './pairs/deformable-detr_twostage_r50.py'

model = {{_base_.luminet}}
