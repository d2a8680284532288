# The teacher.
_base_ = ['../_base_/frcnn_r18_thin.py', '../_base_/coco128_32e.py']
