# All methods, each a dict of what it sets of `model`: a config takes one by
# `_base_ = './pairs/PAIR.py'` and `model = {{_base_.METHOD}}`. What is published for
# all detectors stands in the method's file; a pair sets what is its own. Losses of two
# methods join where a config of one takes the other, too.
_base_ = [
    './detection_methods/kd_det.py',
    './detection_methods/dkd_det.py',
    './detection_methods/luminet_det.py',
    './detection_methods/luminet_box_det.py',
    './detection_methods/luminet_box_rpn_det.py',
    './detection_methods/fitnet_det.py',
    './detection_methods/fgfi_det.py',
    './detection_methods/reviewkd_det.py',
    './detection_methods/cwd_det.py',
    './detection_methods/pkd_det.py',
    './detection_methods/mgd_det.py',
    './detection_methods/fgd_det.py',
]
