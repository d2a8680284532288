_base_ = '../../../../configs/bccd/frcnn_r18_quarter_luminet_bccd.py'

model = dict(
    distill_losses=dict(
        _delete_=True,
        loss_rpn=dict(type='luminet_mm.KDLoss', tau=1.0, compares='objectness'),
    ),
)
