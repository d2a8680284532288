# Two teachers.
_base_ = '../../../configs/coco/frcnn_r101_r18_luminet.py'

model = dict(
    teacher=[
        {{_base_.model.teacher}},
        dict(cfg_path='mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'),
    ],
    teacher_ckpt=[None, None],
)
