# As in DKD's own detection experiments
dkd = dict(
    distill_losses=dict(
        loss_dkd=dict(type='luminet_mm.DKDLoss', tau=1.0, alpha=1.0, beta=0.25)
    )
)
