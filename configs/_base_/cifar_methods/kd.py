kd = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.1))),
    distill_losses=dict(
        loss_kd=dict(type='luminet_mm.KDLoss', tau=4.0, loss_weight=0.9)
    ),
)
