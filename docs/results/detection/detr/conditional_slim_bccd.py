# The first of its teacher's three layers, in encoder and decoder, from which it starts:
# load_from takes the weights of what is left.
_base_ = './conditional_r18_bccd.py'

model = dict(
    backbone=dict(init_cfg=None),
    encoder=dict(num_layers=1),
    decoder=dict(num_layers=1),
)
train_cfg = dict(max_epochs=10, val_interval=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=50),
    dict(type='MultiStepLR', milestones=[8], gamma=0.1),
]
