# beta is a pair's
dkd = dict(
    distill_losses=dict(
        loss_dkd=dict(type='luminet_mm.DKDLoss', tau=4.0, alpha=1.0, beta=8.0)
    ),
    warmup=20,
)
