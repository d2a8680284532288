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
# The RPN's own
fgfi = dict(
    distill_losses=dict(
        loss_fgfi=dict(
            anchor_generator=dict(
                type='AnchorGenerator',
                scales=[4],
                ratios=[0.5, 1.0, 2.0],
                strides=[4, 8, 16, 32],
            )
        )
    )
)
custom_hooks = [
    dict(type='luminet_mm.ZeroLossHook', interval=25),
    dict(type='luminet_mm.ComparisonHook', student_dir='work_dirs/frcnn_quarter_bccd'),
]
