_base_ = ['./resnet32x4_shufflenetv2_luminet_aa.py', '../_base_/cifar_methods.py']

model = {{_base_.mlkd}}
# As published, milestones stay
train_cfg = dict(max_epochs=960)
optim_wrapper = dict(optimizer=dict(lr=0.001))
