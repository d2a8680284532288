_base_ = './pairs/frcnn_r101_r50.py'

model = {{_base_.reviewkd}}
