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
# One view of each image stands for both of the authors'
mlkd = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.2))),
    distill_losses=dict(
        _delete_=True,
        loss_mlkd=dict(
            type='luminet_mm.MultiLevelLoss',
            instance_weight=1.5,
            batch_weight=0.5,
            class_weight=0.5,
            loss_weight=0.9,
        ),
    ),
    warmup=0,
)
# For batches of a plain and a strong view of each image, see cifar100_two_views.py
mlkd_two_views = dict(
    student=dict(
        data_preprocessor=dict(type='luminet_mm.MultiViewDataPreprocessor'),
        head=dict(loss=dict(loss_weight=0.2)),  # the mean of both: 0.1 each
    ),
    distill_losses=dict(
        _delete_=True,
        loss_plain=dict(
            type='luminet_mm.MultiLevelLoss',
            view=0,
            instance_weight=0.5,
            batch_weight=0.5,
            class_weight=0.5,
            loss_weight=0.9,
        ),
        loss_plain_again=dict(
            type='luminet_mm.MultiLevelLoss',
            view=0,
            taus=[2.0, 6.0],
            batch_weight=0.0,
            class_weight=0.0,
            loss_weight=0.9,
        ),
        loss_strong=dict(
            type='luminet_mm.MultiLevelLoss',
            view=1,
            taus=[3.0, 4.0, 5.0],
            batch_weight=0.0,
            class_weight=0.0,
            loss_weight=0.9,
        ),
    ),
    warmup=0,
)
