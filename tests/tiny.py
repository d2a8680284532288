"""Models small enough to train in a test, and batches for them."""

import copy

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader

import luminet_mm  # noqa: F401
from luminet_mm.registry import MODELS

CAFFE_PIXELS = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0])
RGB_PIXELS = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
TINY_RESNET = dict(
    depth=18, base_channels=8, stem_channels=8, frozen_stages=-1, init_cfg=None
)


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
        backbone=dict(TINY_RESNET, norm_eval=False),
        neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
        rpn_head=dict(in_channels=16, feat_channels=16),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=16),
            bbox_head=dict(in_channels=16, fc_out_channels=32, num_classes=num_classes),
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


DENSE = dict(
    retinanet='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    fcos='mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    atss='mmdet::atss/atss_r50_fpn_1x_coco.py',
    gfl='mmdet::gfl/gfl_r50_fpn_1x_coco.py',
    vfnet='mmdet::vfnet/vfnet_r50_fpn_1x_coco.py',
)


def dense(name, num_classes=3, **overrides):
    """A RetinaNet, FCOS, ATSS, GFL or VFNet of 0.3 M parameters."""
    cfg = dict(
        cfg_path=DENSE[name],
        _scope_='mmdet',
        backbone=dict(TINY_RESNET, norm_eval=False),
        neck=dict(in_channels=[8, 16, 32, 64], out_channels=32),
        bbox_head=dict(
            num_classes=num_classes, in_channels=32, feat_channels=32, stacked_convs=1
        ),
    )
    return merged(cfg, overrides)


DETR = dict(
    detr='mmdet::detr/detr_r50_8xb2-150e_coco.py',
    conditional='mmdet::conditional_detr/conditional-detr_r50_8xb2-50e_coco.py',
    dab='mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py',
    deformable='mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    two_stage='mmdet::deformable_detr/'
    'deformable-detr-refine-twostage_r50_16xb2-50e_coco.py',
    dino='mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    ddq='mmdet::ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py',
)


def detr(name, num_classes=3, num_queries=20, **overrides):
    """A detector of DETR's family with two decoder layers and a tiny ResNet."""
    single = name in ('detr', 'conditional', 'dab')
    cfg = dict(
        cfg_path=DETR[name],
        _scope_='mmdet',
        backbone=TINY_RESNET,
        neck=dict(in_channels=[64] if single else [16, 32, 64]),
        num_queries=num_queries,
        encoder=dict(num_layers=1),
        decoder=dict(num_layers=2),
        bbox_head=dict(num_classes=num_classes),
    )
    if name in ('dino', 'ddq'):
        cfg['dn_cfg'] = dict(group_cfg=dict(num_dn_queries=12))
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


def vit(num_classes=5, img_size=32, patch_size=8):
    """A ViT of two layers, which takes images of one size."""
    return dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        data_preprocessor=classifier()['data_preprocessor'],
        backbone=dict(
            type='VisionTransformer',
            arch=dict(
                embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64
            ),
            img_size=img_size,
            patch_size=patch_size,
        ),
        head=dict(
            type='VisionTransformerClsHead', num_classes=num_classes, in_channels=32
        ),
    )


def build(cfg, seed=0):
    """Build a model as a teacher's or a student's config is built."""
    from luminet_mm.config import load_model_cfg

    init_default_scope(cfg.get('_scope_', 'mmdet'))
    torch.manual_seed(seed)
    # a copy, since DETR writes into it
    return MODELS.build(copy.deepcopy(load_model_cfg(cfg, 'model')))


def save_weights(cfg, path, seed=0, **meta):
    """Weights of a freshly built model, as a checkpoint."""
    model = build(cfg, seed)
    for module in model.modules():  # statistics that a fresh model has not
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    if hasattr(model, 'level_embed'):  # whatever the memory had, in a fresh model
        torch.nn.init.normal_(model.level_embed)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


def load_checkpoint(path):
    """What a run has saved, whatever torch takes for safe."""
    return CheckpointLoader.load_checkpoint(str(path), map_location='cpu')


def distiller(student, teacher, teacher_ckpt, **kwargs):
    """A LogitDistiller with both losses, its weights not initialised yet.

    Its teacher runs as it is, so that equal weights give equal logits to the last bit.
    """
    kwargs.setdefault('accelerate_teacher', False)
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


def image_folder(root, num_images=16, num_classes=5, size=32):
    """A folder of random images in mmpretrain's layout, one folder a class."""
    import cv2

    rng = np.random.RandomState(0)
    for index in range(num_images):
        folder = root / 'images' / f'class{index % num_classes}'
        folder.mkdir(parents=True, exist_ok=True)
        image = rng.randint(0, 256, (size, size, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{index:03}.png'), image)
    return str(root / 'images')


def coco_set(root, num_images=4, classes=('a', 'b', 'c')):
    """Random images with boxes, in COCO's layout."""
    import cv2
    import mmengine

    rng = np.random.RandomState(0)
    (root / 'images').mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for index in range(num_images):
        height, width = 96, 112 + 16 * (index % 2)
        name = f'{index:03}.png'
        image = rng.randint(0, 60, (height, width, 3), dtype=np.uint8)
        for label in range(len(classes)):
            x, y, side = (int(v) for v in rng.randint(8, 50, 3))
            image[y : y + side, x : x + side] += np.uint8(60 * (label + 1))
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index,
                    category_id=label + 1,
                    bbox=[x, y, min(side, width - x), min(side, height - y)],
                    area=side * side,
                    iscrowd=0,
                )
            )
        cv2.imwrite(str(root / 'images' / name), image)
        images.append(dict(id=index, file_name=name, height=height, width=width))
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(classes)]
    mmengine.dump(
        dict(images=images, annotations=annotations, categories=categories),
        root / 'annotations.json',
    )
    return str(root)


def run_cfg(model, dataset, work_dir, scope, batch_size=4, max_epochs=2, **overrides):
    """A short training run on the CPU, one checkpoint an epoch."""
    cfg = dict(
        default_scope=scope,
        work_dir=str(work_dir),
        # runs of one second would share their loggers
        experiment_name=str(work_dir).replace('/', '_'),
        model=model,
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dataset,
        ),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)
        ),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=6)
        ],
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1),
            sampler_seed=dict(type='DistSamplerSeedHook'),
        ),
        log_level='WARNING',
        randomness=dict(seed=0, deterministic=True),
    )
    return merged(cfg, overrides)


def classification_run(model, root, work_dir, **overrides):
    """:func:`run_cfg` on an :func:`image_folder`."""
    dataset = dict(
        type='CustomDataset',
        data_prefix=image_folder(root),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')],
    )
    return run_cfg(model, dataset, work_dir, 'mmpretrain', **overrides)


def detection_run(model, root, work_dir, **overrides):
    """:func:`run_cfg` on a :func:`coco_set`, tested on the same images."""
    coco_set(root)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='Resize', scale=(128, 96), keep_ratio=True),
    ]
    meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
    dataset = dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file='annotations.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=('a', 'b', 'c')),
        pipeline=[*pipeline, dict(type='PackDetInputs', meta_keys=meta_keys)],
    )
    cfg = dict(
        test_dataloader=dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=merged(dataset, dict(test_mode=True)),
        ),
        test_cfg=dict(),
        test_evaluator=dict(type='CocoMetric', ann_file=f'{root}/annotations.json'),
    )
    cfg.update(overrides)
    return run_cfg(model, dataset, work_dir, 'mmdet', batch_size=2, **cfg)


def distilled(student, teacher, teacher_ckpt, **kwargs):
    """The model config of a distillation by LumiNet."""
    return dict(
        type='luminet_mm.LogitDistiller',
        student=student,
        teacher=teacher,
        teacher_ckpt=teacher_ckpt,
        distill_losses=dict(loss_luminet=dict(type='luminet_mm.LuminetLoss')),
        **kwargs,
    )
