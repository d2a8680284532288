# In place of the pair's distiller: `dict(_base_.dml, student=..., peers=...)`
dml = dict(
    _delete_=True,
    type='luminet_mm.MutualDistiller',
    distill_losses=dict(loss_dml=dict(type='luminet_mm.KDLoss', tau=1.0)),
)
