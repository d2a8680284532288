_base_ = './pairs/wrn_40_2_shufflenetv1.py'

model = dict(_base_.dml, student=_base_.model.student, peers=_base_.model.teacher)
