_base_ = './pairs/retinanet_r101_r18.py'

model = {{_base_.pkd}}
