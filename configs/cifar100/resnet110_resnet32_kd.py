_base_ = ['./resnet110_resnet32_luminet.py', '../_base_/cifar_methods.py']

model = {{_base_.kd}}
