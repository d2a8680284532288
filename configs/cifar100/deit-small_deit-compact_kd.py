_base_ = './pairs/deit-small_deit-compact.py'

model = {{_base_.kd}}
