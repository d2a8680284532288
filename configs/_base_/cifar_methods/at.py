at = dict(
    distill_losses=dict(loss_at=dict(type='luminet_mm.ATLoss', loss_weight=1000.0))
)
