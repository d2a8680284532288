_base_ = './resnet34_resnet18_luminet_8xb64_in1k.py'

model = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.5))),
    distill_losses=dict(
        _delete_=True,
        loss_kd=dict(type='luminet_mm.KDLoss', tau=1.0, loss_weight=0.5),
    ),
    warmup=0,
)
