# The teacher.
_base_ = ['../_base_/rtmdet_s.py', '../_base_/bccd_16e.py']
