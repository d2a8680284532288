# Methods whose published hyper-parameters are the same for every CIFAR pair. A config
# of a pair takes one by `model = {{_base_.kd}}`, in place of its LumiNet.
kd = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.1))),
    distill_losses=dict(
        _delete_=True,
        loss_kd=dict(type='luminet_mm.KDLoss', tau=4.0, loss_weight=0.9),
    ),
    warmup=0,
)
ls = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.1))),
    distill_losses=dict(
        _delete_=True,
        loss_ls=dict(
            type='luminet_mm.LogitStandardizationLoss', tau=2.0, loss_weight=9.0
        ),
    ),
    warmup=0,
)
dist = dict(
    student=dict(head=dict(loss=dict(loss_weight=1.0))),
    distill_losses=dict(
        _delete_=True,
        loss_dist=dict(type='luminet_mm.DISTLoss', tau=4.0, loss_weight=2.0),
    ),
    warmup=0,
)
mlkd = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.1))),
    distill_losses=dict(
        _delete_=True,
        loss_mlkd=dict(type='luminet_mm.MultiLevelLoss', loss_weight=0.9),
    ),
    warmup=0,
)
