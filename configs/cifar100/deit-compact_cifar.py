_base_ = './deit-small_cifar.py'

# A third of the width: 2.4 M parameters, as the student of Table 6
model = dict(
    backbone=dict(
        arch=dict(embed_dims=128, num_heads=2, feedforward_channels=512),
        drop_path_rate=0.0,
    ),
    head=dict(in_channels=128),
)
