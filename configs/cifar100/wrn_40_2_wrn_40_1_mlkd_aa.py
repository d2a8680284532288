_base_ = ['./wrn_40_2_wrn_40_1_luminet_aa.py', '../_base_/cifar_methods.py']

model = {{_base_.mlkd}}
optim_wrapper = dict(optimizer=dict(lr=0.025))
