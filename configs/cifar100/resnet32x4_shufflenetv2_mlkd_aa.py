_base_ = './pairs/resnet32x4_shufflenetv2_aa.py'

model = {{_base_.mlkd}}
# As published, milestones stay
train_cfg = dict(max_epochs=960)
optim_wrapper = dict(optimizer=dict(lr=0.001))
