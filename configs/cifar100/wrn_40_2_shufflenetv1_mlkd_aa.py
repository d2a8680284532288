_base_ = './pairs/wrn_40_2_shufflenetv1_aa.py'

model = {{_base_.mlkd}}
train_cfg = dict(max_epochs=480)  # milestones stay, as published
