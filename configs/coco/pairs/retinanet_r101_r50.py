_base_ = ['mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', '../../_base_/zoo_pair.py']

model = dict(
    **_base_.distiller,
    student=dict(
        cfg_path='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
    ),  # 36.5 AP alone
    teacher=dict(cfg_path='mmdet::retinanet/retinanet_r101_fpn_2x_coco.py'),  # 38.9 AP
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
custom_hooks = _base_.distiller_hooks
default_hooks = _base_.distiller_default_hooks
