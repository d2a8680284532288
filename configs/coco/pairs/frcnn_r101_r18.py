_base_ = ['../frcnn_r18.py', '../../_base_/detection_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmdet::faster_rcnn/faster-rcnn_r101-caffe_fpn_ms-3x_coco.py',
        # Its weights (42.0 AP) are from mmdet 2, whose config fed caffe's pixels;
        # mmdet 3's config of the same name has lost them.
        data_preprocessor=dict(
            mean=[103.530, 116.280, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False
        ),
    ),
    # None takes the model zoo's weights of the teacher's cfg_path
    teacher_ckpt=None,
    warmup=1000,
    warmup_by_epoch=False,
)
reviewkd = dict(distill_losses=dict(loss_reviewkd=dict(loss_weight=1.2)))
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook'),
    dict(type='luminet_mm.ComparisonHook', student_dir='work_dirs/frcnn_r18'),
]
default_hooks = dict(checkpoint=dict(type='luminet_mm.SafeCheckpointHook'))
