_base_ = './resnet32x4_resnet8x4_luminet_tin32.py'

model = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.1))),
    distill_losses=dict(
        _delete_=True,
        loss_kd=dict(type='luminet_mm.KDLoss', tau=4.0, loss_weight=0.9),
    ),
    warmup=0,
)
