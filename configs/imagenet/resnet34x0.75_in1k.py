# Three quarters of the channels: the assistant of TAKD, between ResNet-34 and ResNet-18
_base_ = 'mmpretrain::resnet/resnet34_8xb32_in1k.py'

model = dict(
    backbone=dict(base_channels=48, zero_init_residual=False),
    head=dict(in_channels=384, init_cfg=None),
)
