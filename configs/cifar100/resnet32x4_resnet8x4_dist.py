_base_ = ['./resnet32x4_resnet8x4_luminet.py', '../_base_/cifar_methods.py']

model = {{_base_.dist}}
