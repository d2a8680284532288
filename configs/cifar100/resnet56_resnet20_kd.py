_base_ = ['./resnet56_resnet20_luminet.py', '../_base_/cifar_methods.py']

model = {{_base_.kd}}
