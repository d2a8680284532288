ls = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.1))),
    distill_losses=dict(
        loss_ls=dict(
            type='luminet_mm.LogitStandardizationLoss', tau=2.0, loss_weight=9.0
        )
    ),
)
