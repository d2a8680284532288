_base_ = ['./wrn_40_2_shufflenetv1_luminet_aa.py', '../_base_/cifar_methods.py']

model = {{_base_.mlkd}}
train_cfg = dict(max_epochs=480)  # milestones stay, as published
