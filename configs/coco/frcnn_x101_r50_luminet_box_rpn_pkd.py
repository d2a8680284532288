_base_ = './frcnn_x101_r50_luminet_box_rpn.py'

# The loss alone: the warm-up stays LumiNet's
model = dict(distill_losses={{_base_.pkd.distill_losses}})
