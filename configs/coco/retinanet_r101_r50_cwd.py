_base_ = './pairs/retinanet_r101_r50.py'

model = {{_base_.cwd}}
