_base_ = ['./resnet32x4_shufflenetv2.py', '../../_base_/cifar100_autoaugment.py']

train_dataloader = {{_base_.autoaugment}}
data_preprocessor = dict(type='ClsDataPreprocessor')
