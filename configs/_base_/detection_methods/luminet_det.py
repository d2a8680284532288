# The paper gives no tau and weight for detection; on BCCD (docs/results/detection.md)
# no other did better, with one seed
luminet = dict(
    distill_losses=dict(
        loss_luminet=dict(type='luminet_mm.LuminetLoss', tau=1.0, loss_weight=1.0)
    )
)
