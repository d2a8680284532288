_base_ = './rtmdet_s_quarter_luminet_bccd.py'

model = {{_base_.luminet_box}}
