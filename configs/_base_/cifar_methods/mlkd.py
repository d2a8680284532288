# One view of each image stands for both of the authors'
mlkd = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.2))),
    distill_losses=dict(
        loss_mlkd=dict(
            type='luminet_mm.MultiLevelLoss',
            instance_weight=1.5,
            batch_weight=0.5,
            class_weight=0.5,
            loss_weight=0.9,
        )
    ),
)
