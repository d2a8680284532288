# The student alone; checkpoints of the distilled student are tested with it too.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', '../_base_/coco_180k.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(1, 2, 4, 7),  # strides 4 to 32
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://mmdet/mobilenet_v2'),
    ),
    neck=dict(in_channels=[24, 32, 96, 1280]),
)
