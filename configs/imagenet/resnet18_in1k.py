_base_ = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'

# The authors' student is torchvision's: no block starts as the identity, and the
# classifier is initialised by torch. mmpretrain's differs in both.
model = dict(backbone=dict(zero_init_residual=False), head=dict(init_cfg=None))
