"""Models small enough to train in a test, and batches for them."""

import copy

import numpy as np
import torch
from mmengine.registry import init_default_scope

import luminet_mm  # noqa: F401
from luminet_mm.registry import MODELS

CAFFE_PIXELS = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0])
RGB_PIXELS = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def merged(cfg, overrides):
    """A copy of nested dicts with some values replaced."""
    cfg = copy.deepcopy(cfg)
    for key, value in overrides.items():
        nested = isinstance(value, dict) and isinstance(cfg.get(key), dict)
        cfg[key] = merged(cfg[key], value) if nested else value
    return cfg


def faster_rcnn(num_classes=3, **overrides):
    """A Faster R-CNN of 0.2 M parameters."""
    cfg = dict(
        cfg_path='mmdet::_base_/models/faster-rcnn_r50_fpn.py',
        _scope_='mmdet',
        data_preprocessor=dict(bgr_to_rgb=True, **RGB_PIXELS),
        backbone=dict(
            depth=18,
            base_channels=8,
            stem_channels=8,
            frozen_stages=-1,
            norm_eval=False,
            init_cfg=None,
        ),
        neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
        rpn_head=dict(in_channels=16, feat_channels=16),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=16),
            bbox_head=dict(
                in_channels=16, fc_out_channels=32, num_classes=num_classes
            ),
        ),
        train_cfg=dict(rpn_proposal=dict(nms_pre=100, max_per_img=60)),
    )
    return merged(cfg, overrides)


def mask_rcnn(num_classes=3, **overrides):
    """The same with a mask head."""
    cfg = faster_rcnn(num_classes)
    cfg['cfg_path'] = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'
    cfg['roi_head'].update(
        mask_roi_extractor=dict(out_channels=16),
        mask_head=dict(
            in_channels=16, conv_out_channels=16, num_convs=1, num_classes=num_classes
        ),
    )
    return merged(cfg, overrides)


def cascade_rcnn(num_classes=3, **overrides):
    """The same with three RoI stages."""
    cfg = faster_rcnn(num_classes)
    cfg['cfg_path'] = 'mmdet::_base_/models/cascade-rcnn_r50_fpn.py'
    stages = [
        dict(
            type='Shared2FCBBoxHead',
            in_channels=16,
            fc_out_channels=32,
            roi_feat_size=7,
            num_classes=num_classes,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[std] * 4),
            reg_class_agnostic=True,
            loss_cls=dict(type='CrossEntropyLoss'),
            loss_bbox=dict(type='SmoothL1Loss'),
        )
        for std in (0.1, 0.05, 0.033)
    ]
    cfg['roi_head']['bbox_head'] = stages
    return merged(cfg, overrides)


def classifier(num_classes=5, **overrides):
    """A ResNet for 32 x 32 images of 0.2 M parameters."""
    cfg = dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        data_preprocessor=dict(
            type='ClsDataPreprocessor',
            num_classes=num_classes,
            to_rgb=True,
            **RGB_PIXELS,
        ),
        backbone=dict(
            type='ResNet_CIFAR',
            depth=18,
            stem_channels=8,
            base_channels=8,
            style='pytorch',
            num_stages=4,
            out_indices=(3,),
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=num_classes,
            in_channels=64,
            loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        ),
    )
    return merged(cfg, overrides)


def build(cfg, seed=0):
    """Build a model as a teacher's or a student's config is built."""
    from luminet_mm.config import load_model_cfg

    init_default_scope(cfg.get('_scope_', 'mmdet'))
    torch.manual_seed(seed)
    return MODELS.build(load_model_cfg(cfg, 'model'))


def save_weights(cfg, path, seed=0, **meta):
    """Weights of a freshly built model, as a checkpoint."""
    model = build(cfg, seed)
    for module in model.modules():  # statistics that a fresh model has not
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


def distiller(student, teacher, teacher_ckpt, **kwargs):
    """A LogitDistiller with both losses, its weights not initialised yet."""
    kwargs.setdefault(
        'distill_losses',
        dict(
            loss_luminet=dict(type='luminet_mm.LuminetLoss'),
            loss_kd=dict(type='luminet_mm.KDLoss'),
        ),
    )
    init_default_scope(student.get('_scope_', 'mmdet'))
    return MODELS.build(
        dict(
            type='luminet_mm.LogitDistiller',
            student=student,
            teacher=teacher,
            teacher_ckpt=teacher_ckpt,
            **kwargs,
        )
    )


def detection_batch(sizes=((96, 128), (90, 100)), num_classes=3, masks=False, seed=0):
    """What a data loader gives: raw BGR images, and boxes."""
    from mmdet.testing import demo_mm_inputs

    rng = np.random.RandomState(seed)
    batch = demo_mm_inputs(
        len(sizes),
        [(3, *size) for size in sizes],
        num_items=[3] * len(sizes),
        num_classes=num_classes,
        with_mask=masks,
        use_box_type=True,
    )
    batch['inputs'] = [
        torch.from_numpy(rng.randint(0, 256, (3, *size), dtype=np.uint8))
        for size in sizes
    ]
    return batch


def image_batch(num_images=8, num_classes=5, size=32, seed=0):
    """Raw BGR images with a label each."""
    from mmpretrain.structures import DataSample

    rng = np.random.RandomState(seed)
    inputs = [
        torch.from_numpy(rng.randint(0, 256, (3, size, size), dtype=np.uint8))
        for _ in range(num_images)
    ]
    samples = [DataSample().set_gt_label(i % num_classes) for i in range(num_images)]
    return dict(inputs=inputs, data_samples=samples)
