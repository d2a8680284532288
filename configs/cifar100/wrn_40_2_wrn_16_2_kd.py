_base_ = ['./wrn_40_2_wrn_16_2_luminet.py', '../_base_/cifar_methods.py']

model = {{_base_.kd}}
