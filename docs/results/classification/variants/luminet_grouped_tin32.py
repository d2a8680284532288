_base_ = '../../../../configs/tinyimagenet/resnet32x4_resnet8x4_luminet_tin32.py'

custom_imports = dict(imports=['grouped_luminet_loss'])
model = dict(
    distill_losses=dict(loss_luminet=dict(type='luminet_mm.GroupedLuminetLoss')),
)
