# Published without it in the first 400 iterations, for which a pair's warm-up stands,
# and for detectors of one level; with a neck of several its settings are our choice
fgfi = dict(
    distill_losses=dict(loss_fgfi=dict(type='luminet_mm.FGFILoss', loss_weight=0.01))
)
