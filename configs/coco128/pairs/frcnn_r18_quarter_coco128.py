_base_ = ['../frcnn_quarter_coco128.py', '../../_base_/detection_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student={{_base_.model}},
    teacher=dict(cfg_path='{{fileDirname}}/../frcnn_r18_coco128.py'),
    teacher_ckpt='work_dirs/frcnn_r18_coco128/epoch_32.pth',
    warmup=100,
    warmup_by_epoch=False,
)
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook', interval=25),
    dict(
        type='luminet_mm.ComparisonHook',
        student_dir='work_dirs/frcnn_quarter_coco128',
    ),
]
