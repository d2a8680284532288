_base_ = './pairs/resnet32x4_resnet8x4_tin32.py'

model = {{_base_.mlkd}}
optim_wrapper = dict(optimizer=dict(lr=0.025))
