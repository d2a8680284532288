_base_ = './pairs/wrn_40_2_wrn_16_2.py'

model = dict(_base_.dml, student=_base_.model.student, peers=_base_.model.teacher)
