# What the methods set otherwise on ImageNet, for both pairs
_base_ = './cifar_methods.py'

kd = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.5))),
    distill_losses=dict(loss_kd=dict(tau=1.0, loss_weight=0.5)),
)
dkd = dict(distill_losses=dict(loss_dkd=dict(tau=1.0)), warmup=1)
luminet = dict(
    student=dict(head=dict(loss=dict(loss_weight=1.0))),
    distill_losses=dict(
        loss_luminet=dict(
            tau=0.7,
            loss_weight=2**2,
            sync_stats=True,  # over all images of a step, as the authors' one process
        )
    ),
    warmup=1,
)
