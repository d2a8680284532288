_base_ = './resnet50_mobilenetv1_luminet_4xb64_in1k.py'

model = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.5))),
    distill_losses=dict(
        _delete_=True,
        loss_kd=dict(type='luminet_mm.KDLoss', tau=1.0, loss_weight=0.5),
    ),
    warmup=0,
)
# As published; LumiNet's of this pair has half of both
optim_wrapper = dict(optimizer=dict(lr=0.2))
auto_scale_lr = dict(base_batch_size=512)
