# It comes with gradients clipped at 35, and a pair's `start`: the student's neck and
# heads are the teacher's at first
fgd = dict(
    distill_losses=dict(
        loss_fgd=dict(
            type='luminet_mm.FGDLoss',
            tau=0.5,
            alpha=5e-5,
            beta=2.5e-5,
            gamma=5e-5,
            lambda_=5e-7,
        )
    ),
    warmup=0,
)
