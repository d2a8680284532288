_base_ = './pairs/frcnn_r18_quarter_bccd.py'

model = {{_base_.fgd}}
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
