_base_ = './retinanet_r18_quarter_luminet_bccd.py'

model = {{_base_.luminet_box}}
