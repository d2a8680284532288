_base_ = ['mmdet::yolox/yolox_s_8xb8-300e_coco.py', '../../_base_/zoo_pair.py']

model = dict(
    **_base_.distiller,
    student=dict(cfg_path='mmdet::yolox/yolox_s_8xb8-300e_coco.py'),  # 40.5 AP alone
    teacher=dict(cfg_path='mmdet::yolox/yolox_l_8xb8-300e_coco.py'),  # 49.4 AP
)
custom_hooks = [*_base_.custom_hooks, *_base_.distiller_hooks]
default_hooks = _base_.distiller_default_hooks
