# What joins LumiNet to teach all that a two-stage detector predicts: beside its classes
# the boxes of the RoIs and the objectness of the RPN. Weights and tau are those that
# gained on BCCD, see docs/results/detection.md; nothing was tried on the whole of COCO.
luminet_box_rpn = dict(
    distill_losses=dict(
        loss_box=dict(type='luminet_mm.BoxLoss', loss_weight=1.0),
        loss_rpn=dict(
            type='luminet_mm.KDLoss', tau=1.0, loss_weight=1.0, compares='objectness'
        ),
    )
)
