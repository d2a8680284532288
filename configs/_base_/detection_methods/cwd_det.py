cwd = dict(
    distill_losses=dict(
        loss_cwd=dict(type='luminet_mm.CWDLoss', tau=1.0, loss_weight=10.0)
    ),
    warmup=0,
)
