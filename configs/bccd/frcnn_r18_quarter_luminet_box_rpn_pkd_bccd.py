_base_ = './frcnn_r18_quarter_luminet_box_rpn_bccd.py'

# The loss alone: the warm-up stays LumiNet's
model = dict(distill_losses={{_base_.pkd.distill_losses}})
