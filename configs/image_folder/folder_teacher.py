_base_ = ['./folder_data.py', 'mmpretrain::_base_/models/resnet50.py']

model = dict(head=dict(num_classes=_base_.num_classes))
load_from = 'https://download.openmmlab.com/mmclassification/v0/resnet/resnet50_8xb32_in1k_20210831-ea4938fc.pth'  # noqa: E501
