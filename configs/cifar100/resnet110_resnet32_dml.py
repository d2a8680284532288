_base_ = './pairs/resnet110_resnet32.py'

model = dict(_base_.dml, student=_base_.model.student, peers=_base_.model.teacher)
