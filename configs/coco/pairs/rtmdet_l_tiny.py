_base_ = ['mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py', '../../_base_/zoo_pair.py']

model = dict(
    **_base_.distiller,
    student=dict(
        cfg_path='mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
    ),  # 40.9 AP alone
    teacher=dict(cfg_path='mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py'),  # 51.3 AP
)
custom_hooks = [*_base_.custom_hooks, *_base_.distiller_hooks]
default_hooks = _base_.distiller_default_hooks
