dist = dict(
    distill_losses=dict(
        loss_dist=dict(type='luminet_mm.DISTLoss', tau=4.0, loss_weight=2.0)
    )
)
