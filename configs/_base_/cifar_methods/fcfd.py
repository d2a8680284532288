# tau is a pair's, and so are `layers` and `rectified` where features of a backbone do
# not come from a ReLU or its last stage has a layer more
fcfd = dict(
    distill_losses=dict(
        loss_fcfd=dict(type='luminet_mm.FCFDLoss', tau=4.0, appearance_weight=5.0)
    ),
    warmup=20,
)
