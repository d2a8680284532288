# It comes with gradients clipped at 35, and a pair's `start`: the student's neck and
# heads are the teacher's at first
mgd = dict(
    distill_losses=dict(
        loss_mgd=dict(type='luminet_mm.MGDLoss', mask_ratio=0.45, loss_weight=5e-7)
    ),
    warmup=0,
)
