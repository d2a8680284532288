_base_ = './resnet34_resnet18_luminet_8xb64_in1k.py'

model = dict(
    distill_losses=dict(
        _delete_=True,
        loss_dkd=dict(type='luminet_mm.DKDLoss', tau=1.0, alpha=1.0, beta=0.5),
    )
)
