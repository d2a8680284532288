_base_ = ['../wrn_40_1.py', '../../_base_/cifar_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../wrn_40_1.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../wrn_40_2.py'),
    teacher_ckpt='work_dirs/wrn_40_2/epoch_240.pth',
)
luminet = dict(
    student=dict(head=dict(loss=dict(loss_weight=1.0))),
    distill_losses=dict(loss_luminet=dict(tau=8.0, loss_weight=75**2)),
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
