_base_ = './mrcnn_r101_r50_luminet.py'

model = {{_base_.luminet_box_rpn}}
