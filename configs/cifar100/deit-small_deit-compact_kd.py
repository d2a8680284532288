_base_ = ['./deit-small_deit-compact_luminet.py', '../_base_/cifar_methods.py']

model = {{_base_.kd}}
