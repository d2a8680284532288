_base_ = './resnet50_mobilenetv1_luminet_4xb64_in1k.py'

model = dict(
    distill_losses=dict(
        _delete_=True,
        loss_dkd=dict(type='luminet_mm.DKDLoss', tau=1.0, alpha=1.0, beta=2.0),
    )
)
