_base_ = ['./vgg13_vgg8_luminet.py', '../_base_/cifar_methods.py']

model = {{_base_.kd}}
