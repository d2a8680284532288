_base_ = ['./resnet32x4_resnet8x4_luminet.py', '../_base_/cifar_methods.py']

model = {{_base_.mlkd}}
optim_wrapper = dict(optimizer=dict(lr=0.025))
