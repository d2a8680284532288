# A quarter of the width of the thin ResNet-18.
_base_ = './retinanet_r18_thin.py'

model = dict(
    backbone=dict(base_channels=16),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=16),
    bbox_head=dict(in_channels=16, feat_channels=16),
)
