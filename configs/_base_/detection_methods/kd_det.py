kd = dict(
    distill_losses=dict(
        loss_kd=dict(type='luminet_mm.KDLoss', tau=1.0, loss_weight=1.0)
    )
)
