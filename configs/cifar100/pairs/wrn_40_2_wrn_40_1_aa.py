_base_ = ['./wrn_40_2_wrn_40_1.py', '../../_base_/cifar100_autoaugment.py']

train_dataloader = {{_base_.autoaugment}}
data_preprocessor = dict(type='ClsDataPreprocessor')
