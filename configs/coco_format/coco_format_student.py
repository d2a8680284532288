_base_ = ['./coco_format_data.py', 'mmdet::_base_/models/faster-rcnn_r50_fpn.py']

model = dict(
    backbone=dict(init_cfg=None),  # load_from has its weights, too
    roi_head=dict(bbox_head=dict(num_classes=len(_base_.classes))),
)
load_from = 'https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_mstrain_3x_coco/faster_rcnn_r50_fpn_mstrain_3x_coco_20210524_110822-e10bd31c.pth'  # noqa: E501
