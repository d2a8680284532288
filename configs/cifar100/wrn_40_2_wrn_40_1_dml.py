_base_ = './pairs/wrn_40_2_wrn_40_1.py'

model = dict(_base_.dml, student=_base_.model.student, peers=_base_.model.teacher)
