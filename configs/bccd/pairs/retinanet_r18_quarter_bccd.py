_base_ = ['../retinanet_quarter_bccd.py', '../../_base_/dense_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student={{_base_.model}},
    teacher=dict(cfg_path='{{fileDirname}}/../retinanet_r18_bccd.py'),
    teacher_ckpt='work_dirs/retinanet_r18_bccd/epoch_16.pth',
    # In iterations, as of the two-stage pair
    warmup=100,
    warmup_by_epoch=False,
)
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook', interval=25),
    dict(
        type='luminet_mm.ComparisonHook', student_dir='work_dirs/retinanet_quarter_bccd'
    ),
]
