# For batches of a plain and a strong view of each image, see cifar100_two_views.py
mlkd_two_views = dict(
    student=dict(
        data_preprocessor=dict(type='luminet_mm.MultiViewDataPreprocessor'),
        head=dict(loss=dict(loss_weight=0.2)),  # the mean of both: 0.1 each
    ),
    distill_losses=dict(
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
)
