# The weight is a pair's. That of the pairs of WRNs and of ResNet-32x4 stands for those
# without a published one.
reviewkd = dict(
    distill_losses=dict(
        loss_reviewkd=dict(type='luminet_mm.ReviewKDLoss', loss_weight=5.0)
    ),
    warmup=20,
)
