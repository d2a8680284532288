_base_ = './resnet8x4_tin32.py'

model = dict(
    _delete_=True,
    type='luminet_mm.MutualDistiller',
    student={{_base_.model}},
    peers=dict(cfg_path='{{fileDirname}}/resnet32x4_tin32.py'),
    distill_losses=dict(loss_dml=dict(type='luminet_mm.KDLoss', tau=1.0)),
)
