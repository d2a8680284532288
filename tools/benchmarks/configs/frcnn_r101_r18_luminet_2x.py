# A teacher that sees the images twice as large.
_base_ = '../../../configs/coco/frcnn_r101_r18_luminet.py'

model = dict(teacher=dict(scale=2.0))
