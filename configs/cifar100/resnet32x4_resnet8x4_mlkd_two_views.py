_base_ = ['./pairs/resnet32x4_resnet8x4.py', '../_base_/cifar100_two_views.py']

model = {{_base_.mlkd_two_views}}
train_dataloader = {{_base_.two_views}}
data_preprocessor = dict(type='luminet_mm.MultiViewDataPreprocessor')
optim_wrapper = dict(optimizer=dict(lr=0.025))
