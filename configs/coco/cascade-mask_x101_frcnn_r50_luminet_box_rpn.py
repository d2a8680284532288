_base_ = './cascade-mask_x101_frcnn_r50_luminet.py'

model = {{_base_.luminet_box_rpn}}
