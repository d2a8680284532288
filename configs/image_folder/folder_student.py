_base_ = ['./folder_data.py', 'mmpretrain::_base_/models/mobilenet_v2_1x.py']

model = dict(head=dict(num_classes=_base_.num_classes))
load_from = 'https://download.openmmlab.com/mmclassification/v0/mobilenet_v2/mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth'  # noqa: E501
