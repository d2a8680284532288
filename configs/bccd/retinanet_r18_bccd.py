# The teacher.
_base_ = ['../_base_/retinanet_r18_thin.py', '../_base_/bccd_16e.py']
