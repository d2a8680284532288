_base_ = ['./resnet50_mobilenetv2_luminet.py', '../_base_/cifar_methods.py']

model = {{_base_.kd}}
