# The teacher.
_base_ = ['../_base_/frcnn_r18_thin.py', '../_base_/bccd_16e.py']

model = dict(roi_head=dict(bbox_head=dict(num_classes=3)))
