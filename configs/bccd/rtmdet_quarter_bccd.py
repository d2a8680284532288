# A distilled student is tested with this config too.
_base_ = ['../_base_/rtmdet_quarter.py', '../_base_/bccd_16e.py']
