_base_ = './pairs/vgg13_vgg8.py'

model = dict(_base_.dml, student=_base_.model.student, peers=_base_.model.teacher)
