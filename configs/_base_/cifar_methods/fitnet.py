# As a loss beside cross-entropy, in one stage, as all tables have it
fitnet = dict(
    distill_losses=dict(
        loss_fitnet=dict(type='luminet_mm.FitNetLoss', loss_weight=100.0)
    )
)
