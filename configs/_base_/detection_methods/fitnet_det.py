# On the levels of the neck that RoIs use, without the last ReLU, since a neck's
# features have both signs. Its weight in detectors was never published: this one is
# ours, about that of FGFI (0.01 / 2 for each of 256 channels).
fitnet = dict(
    distill_losses=dict(
        loss_fitnet=dict(
            type='luminet_mm.FitNetLoss',
            layers=[('neck[:4]', 'neck[:4]')],
            relu=False,
            loss_weight=1.0,
        )
    )
)
