# A distilled student is tested with this config too.
_base_ = ['../_base_/frcnn_quarter.py', '../_base_/bccd_16e.py']

model = dict(roi_head=dict(bbox_head=dict(num_classes=3)))
