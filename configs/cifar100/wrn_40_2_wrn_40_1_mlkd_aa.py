_base_ = './wrn_40_2_wrn_40_1_luminet_aa.py'

model = dict(
    student=dict(head=dict(loss=dict(loss_weight=0.1))),
    distill_losses=dict(
        _delete_=True,
        loss_mlkd=dict(type='luminet_mm.MultiLevelLoss', loss_weight=0.9),
    ),
    warmup=0,
)
