# Distillation losses of the detection pairs: a pair takes LumiNet's by
# `distill_losses={{_base_.luminet}}`, its rivals stand in for it by
# `model = {{_base_.kd}}`.

# The paper gives no tau and weight for detection; on BCCD (docs/results/detection.md)
# no other did better, with one seed
luminet = dict(
    loss_luminet=dict(type='luminet_mm.LuminetLoss', tau=1.0, loss_weight=1.0)
)
# All that a two-stage detector predicts: beside its classes the boxes of the RoIs and
# the objectness of the RPN. Weights and tau are those that gained on BCCD, see
# docs/results/detection.md; nothing was tried on the whole of COCO.
luminet_box_rpn = dict(
    distill_losses=dict(
        loss_box=dict(type='luminet_mm.BoxLoss', loss_weight=1.0),
        loss_rpn=dict(
            type='luminet_mm.KDLoss', tau=1.0, loss_weight=1.0, compares='objectness'
        ),
    )
)
kd = dict(
    distill_losses=dict(
        _delete_=True,
        loss_kd=dict(type='luminet_mm.KDLoss', tau=1.0, loss_weight=1.0),
    )
)
# tau, alpha and beta of DKD's own detection experiments
dkd = dict(
    distill_losses=dict(
        _delete_=True,
        loss_dkd=dict(type='luminet_mm.DKDLoss', tau=1.0, alpha=1.0, beta=0.25),
    )
)
