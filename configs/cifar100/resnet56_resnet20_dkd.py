_base_ = './resnet56_resnet20_luminet.py'

model = dict(
    student=dict(head=dict(loss=dict(loss_weight=1.0))),
    distill_losses=dict(
        _delete_=True,
        loss_dkd=dict(type='luminet_mm.DKDLoss', tau=4.0, alpha=1.0, beta=2.0),
    ),
)
