_base_ = './pairs/retinanet_r101_r50.py'

model = {{_base_.fgd}}
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
