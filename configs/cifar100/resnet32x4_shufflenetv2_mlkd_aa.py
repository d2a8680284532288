_base_ = ['./resnet32x4_shufflenetv2_luminet_aa.py', '../_base_/cifar_methods.py']

model = {{_base_.mlkd}}
