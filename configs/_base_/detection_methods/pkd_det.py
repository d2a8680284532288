pkd = dict(
    distill_losses=dict(loss_pkd=dict(type='luminet_mm.PKDLoss', loss_weight=6.0)),
    warmup=0,
)
