_base_ = './frcnn_x101_r50.py'

model = dict(
    teacher=dict(  # 45.6 AP
        cfg_path='mmdet::cascade_rcnn/cascade-mask-rcnn_x101-64x4d_fpn_20e_coco.py'
    ),
    # As the student's RoIs, the first stage's are straight from an RPN
    source=dict(type='TwoStageSource', teacher_stage=0),
)
