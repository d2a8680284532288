_base_ = ['./vgg13_vgg8_luminet_aa.py', '../_base_/cifar_methods.py']

model = {{_base_.mlkd}}
optim_wrapper = dict(optimizer=dict(lr=0.025))
