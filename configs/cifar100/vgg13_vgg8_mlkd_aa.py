_base_ = './pairs/vgg13_vgg8_aa.py'

model = {{_base_.mlkd}}
optim_wrapper = dict(optimizer=dict(lr=0.025))
