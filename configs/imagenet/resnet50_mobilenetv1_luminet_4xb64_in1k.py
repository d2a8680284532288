_base_ = './pairs/resnet50_mobilenetv1_in1k.py'

model = {{_base_.luminet}}
# The authors' config; its rivals have twice of both
optim_wrapper = dict(optimizer=dict(lr=0.1))
auto_scale_lr = dict(base_batch_size=256)
