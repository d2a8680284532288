# What the methods set otherwise on ImageNet. AT and CRD keep their settings of
# CIFAR-100: no others are published.
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
crd = dict(distill_losses=dict(loss_crd=dict(num_samples=1281167)))
ofd = dict(distill_losses=dict(loss_ofd=dict(loss_weight=1e-4)))
reviewkd = dict(warmup=1)
fcfd = dict(
    distill_losses=dict(loss_fcfd=dict(tau=1.0)),
    warmup=1,  # our choice, as of the others: none is published
)
