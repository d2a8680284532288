_base_ = ['./resnet32x4_shufflenetv1_luminet.py', '../_base_/cifar_methods.py']

model = {{_base_.kd}}
