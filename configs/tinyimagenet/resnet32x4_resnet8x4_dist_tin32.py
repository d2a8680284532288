_base_ = './resnet32x4_resnet8x4_luminet_tin32.py'

model = dict(
    student=dict(head=dict(loss=dict(loss_weight=1.0))),
    distill_losses=dict(
        _delete_=True,
        loss_dist=dict(type='luminet_mm.DISTLoss', tau=4.0, loss_weight=2.0),
    ),
    warmup=0,
)
