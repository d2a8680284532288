# A distilled student is tested with this config too.
_base_ = ['../_base_/frcnn_quarter.py', '../_base_/coco128_32e.py']
