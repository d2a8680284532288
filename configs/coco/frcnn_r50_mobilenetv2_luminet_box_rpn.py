_base_ = './frcnn_r50_mobilenetv2_luminet.py'

model = {{_base_.luminet_box_rpn}}
