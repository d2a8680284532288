_base_ = './pairs/resnet34_resnet18_in1k.py'

model = dict(_base_.dml, student=_base_.model.student, peers=_base_.model.teacher)
