_base_ = './pairs/frcnn_r50_mobilenetv2.py'

model = {{_base_.reviewkd}}
