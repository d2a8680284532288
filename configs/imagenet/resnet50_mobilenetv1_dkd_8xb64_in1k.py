_base_ = './resnet50_mobilenetv1_luminet_4xb64_in1k.py'

model = dict(
    distill_losses=dict(
        _delete_=True,
        loss_dkd=dict(type='luminet_mm.DKDLoss', tau=1.0, alpha=1.0, beta=2.0),
    )
)
# As published; LumiNet's of this pair has half of both
optim_wrapper = dict(optimizer=dict(lr=0.2))
auto_scale_lr = dict(base_batch_size=512)
