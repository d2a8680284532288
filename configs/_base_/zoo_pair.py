# What a pair adds to a student's config in mmdet's zoo, which trains it as it stands.
# It takes these by name, since two bases cannot both define `model` or the hooks.
_base_ = './dense_methods.py'

distiller = dict(
    _delete_=True,  # the student's own `model`
    type='luminet_mm.LogitDistiller',
    warmup=1000,  # iterations, as of the other detectors: the paper gives none
    warmup_by_epoch=False,
)
distiller_hooks = [
    dict(type='luminet_mm.ZeroLossHook'),
    dict(type='luminet_mm.ComparisonHook'),
]
distiller_default_hooks = dict(checkpoint=dict(type='luminet_mm.SafeCheckpointHook'))
