_base_ = ['./wrn_40_2_wrn_16_2_luminet_aa.py', '../_base_/cifar_methods.py']

model = {{_base_.mlkd}}
optim_wrapper = dict(optimizer=dict(lr=0.025))
