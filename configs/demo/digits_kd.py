_base_ = './digits_luminet.py'

model = dict(
    distill_losses=dict(
        _delete_=True,
        loss_kd=dict(type='luminet_mm.KDLoss', tau=1.0, loss_weight=1.0),
    )
)
