# All methods, each a dict of what it sets of `model`: a config takes one by
# `_base_ = './pairs/PAIR.py'` and `model = {{_base_.METHOD}}`. What is published for
# all pairs stands in the method's file; a pair sets what is its own.
_base_ = [
    './cifar_methods/kd.py',
    './cifar_methods/dkd.py',
    './cifar_methods/luminet.py',
    './cifar_methods/ls.py',
    './cifar_methods/dist.py',
    './cifar_methods/mlkd.py',
    './cifar_methods/mlkd_two_views.py',
    './cifar_methods/dml.py',
    './cifar_methods/fitnet.py',
    './cifar_methods/at.py',
    './cifar_methods/rkd.py',
    './cifar_methods/crd.py',
    './cifar_methods/ofd.py',
    './cifar_methods/reviewkd.py',
    './cifar_methods/fcfd.py',
]
