_base_ = ['./wrn_40_2_wrn_16_2.py', '../../_base_/cifar100_autoaugment.py']

train_dataloader = {{_base_.autoaugment}}
data_preprocessor = dict(type='ClsDataPreprocessor')
