_base_ = './pairs/gfl_r101_r50.py'

model = {{_base_.cwd}}
