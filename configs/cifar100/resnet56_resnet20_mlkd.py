_base_ = './pairs/resnet56_resnet20.py'

model = {{_base_.mlkd}}
optim_wrapper = dict(optimizer=dict(lr=0.025))
