_base_ = './frcnn_r101_r18.py'

model = dict(
    student=dict(
        backbone=dict(depth=50, init_cfg=dict(checkpoint='torchvision://resnet50')),
        neck=dict(in_channels=[256, 512, 1024, 2048]),
    )
)
reviewkd = dict(distill_losses=dict(loss_reviewkd=dict(loss_weight=1.0)))
# FGD and MGD start the student's neck and heads from the teacher's
start = dict(
    type='Pretrained',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r101_caffe_fpn_mstrain_3x_coco/faster_rcnn_r101_caffe_fpn_mstrain_3x_coco_20210526_095742-a7ae426d.pth',  # noqa: E501
)
inherited = dict(
    neck=dict(init_cfg=dict(start, prefix='neck.')),
    rpn_head=dict(init_cfg=dict(start, prefix='rpn_head.')),
    roi_head=dict(bbox_head=dict(init_cfg=dict(start, prefix='roi_head.bbox_head.'))),
)
fgd = dict(student=inherited)
mgd = dict(student=inherited)
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook'),
    dict(type='luminet_mm.ComparisonHook', student_dir='work_dirs/frcnn_r50'),
]
