# The defaults of the authors' code; loss_weight is their alpha squared. A pair with a
# published setting has its own.
luminet = dict(
    student=dict(head=dict(loss=dict(loss_weight=2.0))),
    distill_losses=dict(
        loss_luminet=dict(type='luminet_mm.LuminetLoss', tau=4.0, loss_weight=31**2)
    ),
    warmup=20,
)
