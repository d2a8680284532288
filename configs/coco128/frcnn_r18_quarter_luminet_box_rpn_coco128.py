_base_ = './frcnn_r18_quarter_luminet_coco128.py'

model = {{_base_.luminet_box_rpn}}
