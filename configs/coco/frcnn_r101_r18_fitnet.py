_base_ = './pairs/frcnn_r101_r18.py'

model = {{_base_.fitnet}}
