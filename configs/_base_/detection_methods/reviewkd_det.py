# The weight is a pair's; 1.0 is published for R101 to R50 and stands for all others
reviewkd = dict(
    distill_losses=dict(
        loss_reviewkd=dict(
            type='luminet_mm.ReviewKDLoss',
            layers=[('neck', 'neck')],
            mid_channels=256,
            loss_weight=1.0,
        )
    ),
    warmup=0,
)
