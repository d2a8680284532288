_base_ = './pairs/mrcnn_r101_r50.py'

model = {{_base_.dkd}}
