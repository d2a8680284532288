_base_ = ['../wrn_16_2.py', '../../_base_/cifar_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../wrn_16_2.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../wrn_40_2.py'),
    teacher_ckpt='work_dirs/wrn_40_2/epoch_240.pth',
)
dkd = dict(distill_losses=dict(loss_dkd=dict(beta=6.0)))
fcfd = dict(
    distill_losses=dict(
        loss_fcfd=dict(
            layers=[
                ('stages[:2]', 'stages[:2]'),
                ('backbone.layer4', 'backbone.layer4'),
            ],
            rectified=[False, False],
        )
    )
)
