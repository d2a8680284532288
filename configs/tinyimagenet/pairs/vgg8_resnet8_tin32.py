# For two CPU cores, see docs/results/classification.md. What is a pair's own is that of
# ResNet-32x4 to ResNet-8x4.
_base_ = './resnet32x4_resnet8x4_tin32.py'

model = dict(
    student=dict(cfg_path='{{fileDirname}}/../resnet8_tin32.py'),
    teacher=dict(cfg_path='{{fileDirname}}/../vgg8_tin32.py'),
    teacher_ckpt='work_dirs/vgg8_tin32/epoch_240.pth',
)
# Nobody has published this pair. The stages of VGG have 16, 8, 4 and 4 pixels a side,
# those of the ResNet 32, 16 and 8; what is compared has 16 and 8.
layers = [('stages[1:]', 'stages[:2]')]
preactivations = [('preactivations[1:]', 'preactivations[:2]')]
fitnet = dict(
    distill_losses=dict(loss_fitnet=dict(layers=[('stages[1]', 'stages[0]')]))
)
at = dict(distill_losses=dict(loss_at=dict(layers=layers)))
ofd = dict(distill_losses=dict(loss_ofd=dict(layers=preactivations)))
reviewkd = dict(
    distill_losses=dict(
        loss_reviewkd=dict(
            layers=[('stages[1:]', 'preactivations[:2]'), ('pooled', 'pooled')]
        )
    )
)
fcfd = dict(distill_losses=dict(loss_fcfd=dict(layers=layers)))
