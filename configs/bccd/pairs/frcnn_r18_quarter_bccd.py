_base_ = ['../frcnn_quarter_bccd.py', '../../_base_/detection_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student={{_base_.model}},
    teacher=dict(cfg_path='{{fileDirname}}/../frcnn_r18_bccd.py'),
    teacher_ckpt='work_dirs/frcnn_r18_bccd/epoch_16.pth',
    # In iterations, as the RPN needs some before its proposals meet any cell
    warmup=100,
    warmup_by_epoch=False,
)
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook', interval=25),
    dict(type='luminet_mm.ComparisonHook', student_dir='work_dirs/frcnn_quarter_bccd'),
]
