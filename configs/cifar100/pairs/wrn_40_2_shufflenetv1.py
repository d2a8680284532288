_base_ = ['../shufflenetv1_cifar.py', '../../_base_/cifar_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../shufflenetv1_cifar.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../wrn_40_2.py'),
    teacher_ckpt='work_dirs/wrn_40_2/epoch_240.pth',
)
luminet = dict(
    student=dict(head=dict(loss=dict(loss_weight=1.0))),
    distill_losses=dict(loss_luminet=dict(loss_weight=35**2)),
)
# Stages whose maps are of one size, which OFD needs: our choice, none is published
ofd = dict(
    distill_losses=dict(
        loss_ofd=dict(layers=[('preactivations[:2]', 'preactivations[1:]')])
    )
)
fcfd = dict(
    distill_losses=dict(
        loss_fcfd=dict(
            layers=[('stages[:2]', 'stages[:2]'), ('stages[2]', 'backbone.layer4')],
            rectified=[True, False],
        )
    )
)
