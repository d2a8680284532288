_base_ = [
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    '../../_base_/dense_methods.py',
]

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'),
    teacher=dict(cfg_path='mmdet::retinanet/retinanet_r101_fpn_2x_coco.py'),
    teacher_ckpt=None,  # the model zoo's weights, 38.9 AP; the student alone has 36.5
    warmup=1000,
    warmup_by_epoch=False,
)
# FGD and MGD start the student's neck and heads from the teacher's
start = dict(
    type='Pretrained',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/retinanet_r101_fpn_2x_coco/retinanet_r101_fpn_2x_coco_20200131-5560aee8.pth',  # noqa: E501
)
inherited = dict(
    neck=dict(init_cfg=dict(start, prefix='neck.')),
    bbox_head=dict(init_cfg=dict(start, prefix='bbox_head.')),
)
fgd = dict(student=inherited)
mgd = dict(student=inherited)
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook'),
    dict(type='luminet_mm.ComparisonHook'),
]
default_hooks = dict(checkpoint=dict(type='luminet_mm.SafeCheckpointHook'))
