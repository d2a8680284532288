rkd = dict(
    distill_losses=dict(
        loss_rkd=dict(
            type='luminet_mm.RKDLoss', distance_weight=25.0, angle_weight=50.0
        )
    )
)
