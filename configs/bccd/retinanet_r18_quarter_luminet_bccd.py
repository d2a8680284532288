_base_ = './pairs/retinanet_r18_quarter_bccd.py'

model = {{_base_.luminet}}
