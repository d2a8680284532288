crd = dict(
    distill_losses=dict(
        loss_crd=dict(
            type='luminet_mm.CRDLoss',
            num_samples=50000,  # images of the training set
            loss_weight=0.8,
        )
    )
)
