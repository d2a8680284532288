_base_ = './pairs/frcnn_r18_quarter_bccd.py'

model = {{_base_.pkd}}
