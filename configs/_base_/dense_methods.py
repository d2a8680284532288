# What the methods set otherwise in dense detectors: as published for RetinaNet
_base_ = './detection_methods.py'

cwd = dict(
    distill_losses=dict(
        loss_cwd=dict(layers=[('neck[:4]', 'neck[:4]')], loss_weight=5.0)
    )
)
pkd = dict(distill_losses=dict(loss_pkd=dict(loss_weight=10.0)))
mgd = dict(
    distill_losses=dict(
        loss_mgd=dict(layers=[('neck', 'neck')], mask_ratio=0.65, loss_weight=2e-5)
    )
)
fgd = dict(
    distill_losses=dict(loss_fgd=dict(alpha=1e-3, beta=5e-4, gamma=5e-4, lambda_=5e-6))
)
