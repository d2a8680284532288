_base_ = './pairs/frcnn_r18_quarter_coco128.py'

model = {{_base_.kd}}
