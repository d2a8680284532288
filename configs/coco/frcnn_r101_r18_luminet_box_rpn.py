_base_ = './frcnn_r101_r18_luminet.py'

model = {{_base_.luminet_box_rpn}}
