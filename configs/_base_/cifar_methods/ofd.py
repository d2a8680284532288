ofd = dict(
    distill_losses=dict(loss_ofd=dict(type='luminet_mm.OFDLoss', loss_weight=1e-3))
)
