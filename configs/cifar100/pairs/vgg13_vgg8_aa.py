_base_ = ['./vgg13_vgg8.py', '../../_base_/cifar100_autoaugment.py']

train_dataloader = {{_base_.autoaugment}}
data_preprocessor = dict(type='ClsDataPreprocessor')
