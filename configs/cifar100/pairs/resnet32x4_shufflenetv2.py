_base_ = ['../shufflenetv2_cifar.py', '../../_base_/cifar_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../shufflenetv2_cifar.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../resnet32x4.py'),
    teacher_ckpt='work_dirs/resnet32x4/epoch_240.pth',
)
# Stages whose maps are of one size, which OFD needs: our choice, none is published
ofd = dict(
    distill_losses=dict(
        loss_ofd=dict(layers=[('preactivations[:2]', 'preactivations[1:]')])
    )
)
reviewkd = dict(distill_losses=dict(loss_reviewkd=dict(loss_weight=8.0)))
fcfd = dict(
    distill_losses=dict(
        loss_fcfd=dict(
            tau=8.0,
            layers=[('stages[:2]', 'stages[:2]'), ('backbone.layer4', 'stages[2]')],
        )
    )
)
