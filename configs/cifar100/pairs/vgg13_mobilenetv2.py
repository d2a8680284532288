_base_ = ['../mobilenetv2_cifar.py', '../../_base_/cifar_methods.py']

model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/../mobilenetv2_cifar.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../vgg13.py'),
    teacher_ckpt='work_dirs/vgg13/epoch_240.pth',
)
luminet = dict(distill_losses=dict(loss_luminet=dict(tau=8.0, loss_weight=70**2)))
dkd = dict(distill_losses=dict(loss_dkd=dict(beta=6.0)))
# Stages whose maps are of one size, which OFD needs: our choice, none is published
ofd = dict(
    distill_losses=dict(
        loss_ofd=dict(layers=[('preactivations[:3]', 'preactivations[:3]')])
    )
)
fcfd = dict(
    distill_losses=dict(
        loss_fcfd=dict(
            layers=[('stages[:3]', 'stages[:3]'), ('backbone.layer8', 'stages[3]')],
            rectified=[False, True],
        )
    )
)
