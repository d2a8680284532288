_base_ = './pairs/frcnn_r101_r50.py'

model = {{_base_.mgd}}
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
