"""Show which models of mmdet's and mmpretrain's zoos can be distilled.

Of all configs of the zoos those are tried that have a part, or a combination of the
parts that rows of logits depend on, that none before had. Each model teaches itself:

- with its own weights and its layers in eval mode every distillation loss is exactly 0,
  of rows that are there, and it is not 0 any more with other weights;
- one training step with default settings gives every trainable parameter a finite
  gradient;
- it predicts;
- what the distiller saves loads strictly into the plain model.

A step that fails is tried with the plain model too, to tell what is upstream's. Each
model runs in a process of its own. What it gave is written at once to --results,
docs/supported_models.md, and the list of families that the distiller reads at start, so
that a walk that was stopped goes on with `--keep works refused upstream wrong`.

timm and transformers must be installed for the models of mmpretrain that wrap them.
Nothing is downloaded.
"""

import argparse
import copy
import fnmatch
import importlib.util
import multiprocessing
import os
import os.path as osp
import re
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import ExitStack, contextmanager
from glob import glob
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set, Tuple
from unittest.mock import patch

import mmengine
import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import init_default_scope
from torch import Tensor, nn

import luminet_mm
from luminet_mm.config import load_model_cfg
from luminet_mm.distillers.sources.base import class_names
from luminet_mm.registry import MODELS

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
RESULTS = osp.join(ROOT, 'docs', 'results', 'model_zoo', 'results.json')
PAGE = osp.join(ROOT, 'docs', 'supported_models.md')
FAMILIES = osp.join(
    osp.dirname(luminet_mm.__file__), 'distillers', 'proven_families.txt'
)
ROUNDING = 1e-5  # of random weights' predictions, which are about 1
LARGEST = 150  # million parameters of a model that is tried
ZOOS = ('mmdet', 'mmpretrain')


class Difference(nn.Module):
    """The largest difference of two predictions, which no rounding hides."""

    weighs_rows = True

    def __init__(self, logits: bool = True) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, preds_S: Tensor, preds_T: Tensor, **weights: Any) -> Tensor:
        if not preds_S.numel():
            raise RuntimeError('nothing was compared: there are no rows')
        difference = (preds_S - preds_T).abs().max()
        bounded = bool((preds_S >= 0).all() and (preds_S <= 1).all())
        # new heads may give zeros, and a few rows may happen to lie there
        if self.logits and bounded and difference > 0 and not self.training:
            raise RuntimeError('all logits are in [0, 1]: probabilities')
        return difference


# ---- which models


def parts(cfg: Any, place: str = '') -> Iterator[Tuple[str, str]]:
    """Where in a config something of a type is built, and its type."""
    if isinstance(cfg, dict):
        if cfg.get('type') is not None:
            kind = cfg['type']
            yield place, kind if isinstance(kind, str) else kind.__name__
        for key, value in cfg.items():
            if key not in ('init_cfg', 'data_preprocessor', 'test_cfg', 'prototype'):
                yield from parts(value, f'{place}.{key}')
    elif isinstance(cfg, (list, tuple)):
        for value in cfg:
            yield from parts(value, place)


# what the rows of a detector depend on; a classifier's by its head alone
DECISIVE = (
    r'(\.(detector|roi_head))?(\.(bbox_|rpn_|mask_|semantic_)?head)?|.*\.bbox_coder'
    r'|.*\.loss_cls|.*\.bbox_roi_extractor|.*sampler|.*\.anchor_generator'
    r'|.*\.shared_head|\.head\.loss|\.train_cfg\.augments'
)


def traits(model: dict) -> Set[Any]:
    """Every part of a model, and which decisive ones stand together."""
    found = set(parts(model))
    decisive = DECISIVE + (r'|\.backbone' if 'head' in model else '')
    combination = frozenset(part for part in found if re.fullmatch(decisive, part[0]))
    return {*found, combination}


def size_of(path: str) -> tuple:
    """A guess that puts the smallest of a family's configs first."""
    name = osp.basename(path)
    large = re.findall(
        r'x101|r101|152|200|269|[-_](?:l|b|x|xl|xxl|m|h|g)(?=[-_.\d])|large|base|huge|'
        r'giant|medium|deploy|384|448|512|560|in21k|3x|2x|mstrain|objects365|openimages'
        r'|swin|b[2-8]',
        name,
    )
    return len(large) + path.count('deploy/'), len(name), path


def path_of(name: str) -> str:
    """The file of a config ``zoo::path.py``."""
    zoo, path = name.split('::')
    package = osp.dirname(importlib.util.find_spec(zoo).origin)
    return osp.join(package, '.mim', 'configs', path)


def configs(zoo: str) -> List[str]:
    """One config for each trait of the zoo's models, as names ``zoo::path.py``."""
    root = path_of(f'{zoo}::')
    paths = [
        osp.relpath(path, root) for path in glob(f'{root}/**/*.py', recursive=True)
    ]
    seen: Set[Any] = set()
    chosen = []
    for path in sorted(paths, key=size_of):
        if path.startswith('_base_'):
            continue
        try:
            model = Config.fromfile(osp.join(root, path)).get('model')
        except Exception:  # some of the wheel's configs lack their base
            continue
        if model and traits(model) - seen:
            seen |= traits(model)
            chosen.append(f'{zoo}::{path}')
    return sorted(chosen)


IMAGE = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)


def _classifier(backbone: dict, head: dict, neck: Optional[dict] = None) -> dict:
    return dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        data_preprocessor=dict(type='ClsDataPreprocessor', num_classes=10, **IMAGE),
        backbone=backbone,
        neck=neck,
        head=head,
    )


def _resnet(head: dict, **kwargs: Any) -> dict:
    backbone = dict(type='ResNet', depth=18)
    return _classifier(backbone, head, dict(type='GlobalAveragePooling'), **kwargs)


def _wrapped(kind: str, model_name: str, **kwargs: Any) -> dict:
    return dict(
        type=kind,
        _scope_='mmpretrain',
        model_name=model_name,
        data_preprocessor=IMAGE.copy(),
        **kwargs,
    )


LINEAR = dict(type='LinearClsHead', num_classes=10, in_channels=512)
# what mmpretrain has and no config of its zoo, and what its refused ones can become
OTHERS = {
    'RepLKNet': _classifier(
        dict(
            type='RepLKNet',
            arch=dict(
                large_kernel_sizes=[13, 13, 13, 7],
                layers=[1, 1, 2, 1],
                channels=[16, 32, 48, 64],
                small_kernel=5,
                dw_ratio=1,
            ),
        ),
        dict(LINEAR, in_channels=64),
        dict(type='GlobalAveragePooling'),
    ),
    'EfficientFormer, distillation=False': dict(
        cfg_path='mmpretrain::efficientformer/efficientformer-l1_8xb128_in1k.py',
        head=dict(distillation=False),
    ),
    'LeViT, distillation=False': dict(
        cfg_path='mmpretrain::levit/levit-128s_8xb256_in1k.py',
        head=dict(distillation=False),
    ),
    'AlexNet': _classifier(dict(type='AlexNet', num_classes=10), dict(type='ClsHead')),
    'ViTSAM': _classifier(
        dict(
            type='ViTSAM',
            arch=dict(
                embed_dims=48,
                num_layers=2,
                num_heads=2,
                feedforward_channels=96,
                global_attn_indexes=[1],
            ),
            img_size=64,
            out_channels=32,
        ),
        dict(LINEAR, in_channels=32),
        dict(type='GlobalAveragePooling'),
    ),
    'GeM': _classifier(
        dict(type='ResNet', depth=18), LINEAR, dict(type='GeneralizedMeanPooling')
    ),
    'FocalLoss': _resnet(
        dict(
            type='MultiLabelLinearClsHead',
            num_classes=10,
            in_channels=512,
            loss=dict(type='FocalLoss'),
        )
    ),
    'AsymmetricLoss': _resnet(
        dict(
            type='MultiLabelLinearClsHead',
            num_classes=10,
            in_channels=512,
            loss=dict(type='AsymmetricLoss'),
        )
    ),
    'CrossEntropyLoss use_sigmoid': _resnet(
        dict(LINEAR, loss=dict(type='CrossEntropyLoss', use_sigmoid=True))
    ),
    'SeesawLoss': _resnet(dict(LINEAR, loss=dict(type='SeesawLoss', num_classes=10))),
    'MultiTaskHead': _resnet(
        dict(
            type='MultiTaskHead',
            in_channels=512,
            task_heads=dict(
                a=dict(type='LinearClsHead', num_classes=10),
                b=dict(type='LinearClsHead', num_classes=10),
            ),
        )
    ),
    'TimmClassifier resnet18': _wrapped('TimmClassifier', 'resnet18', num_classes=10),
    'TimmClassifier vit_tiny_patch16_224': _wrapped(
        'TimmClassifier', 'vit_tiny_patch16_224', num_classes=10
    ),
    'TimmClassifier deit_tiny_distilled_patch16_224': _wrapped(
        'TimmClassifier', 'deit_tiny_distilled_patch16_224', num_classes=10
    ),
    'TIMMBackbone': _classifier(
        dict(type='TIMMBackbone', model_name='resnet18'),
        LINEAR,
        dict(type='GlobalAveragePooling'),
    ),
    'HuggingFaceClassifier resnet': _wrapped('HuggingFaceClassifier', 'resnet'),
    'HuggingFaceClassifier vit': _wrapped('HuggingFaceClassifier', 'vit'),
    'HuggingFaceClassifier deit': _wrapped('HuggingFaceClassifier', 'deit'),
    'HuggingFaceClassifier swin': _wrapped('HuggingFaceClassifier', 'swin'),
    'HuggingFaceClassifier convnext': _wrapped('HuggingFaceClassifier', 'convnext'),
    'HuggingFaceClassifier mobilenet_v2': _wrapped(
        'HuggingFaceClassifier', 'mobilenet_v2'
    ),
}


def _hugging_face_folder(model_type: str) -> str:
    """A folder as from_pretrained takes it, of a small model without weights."""
    from transformers import AutoConfig

    small = dict(
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        depths=[1, 1, 1, 1],
        hidden_sizes=[16, 24, 32, 48],
        num_labels=10,
    )
    if model_type == 'deit':  # of the two that there are, by the mean of two heads
        small['architectures'] = ['DeiTForImageClassificationWithTeacher']
    if model_type == 'swin':
        small = dict(depths=[1, 1, 1, 1], num_labels=10)
    folder = tempfile.mkdtemp()
    AutoConfig.for_model(model_type, **small).save_pretrained(folder)
    return folder


# ---- small, and without downloads

FEWER = dict(num=16, nms_pre=100, max_per_img=20, fc_out_channels=64)


def shrink(cfg: Any) -> Any:
    """A copy that needs no download and no GPU, with few RoIs and no needless depth."""
    if isinstance(cfg, (list, tuple)):
        return type(cfg)(shrink(value) for value in cfg)
    if not isinstance(cfg, dict):
        return cfg
    small = {}
    for key, value in cfg.items():
        if key == 'init_cfg' and 'checkpoint' in str(value):
            value = None
        elif key == 'pretrained':
            value = False if isinstance(value, bool) else None
        elif key == 'teacher_ckpt':  # of upstream's own distillation
            value = None
        elif key == 'teacher_config':
            value = path_of(value.replace('configs/', 'mmdet::'))
        elif key == 'depth' and value in (101, 152, 200, 269):
            value = 50
        elif key == 'type' and value in ('SyncBN', 'MMSyncBN', 'SyncBatchNorm'):
            value = 'BN'
        elif key == 'type' and value == 'SparseSyncBatchNorm2d':
            value = 'SparseBatchNorm2d'
        elif key in FEWER and cfg.get('type') != 'SCNetBBoxHead':
            value = min(value, FEWER[key]) if isinstance(value, int) else value
        small[key] = shrink(value)
    return ConfigDict(small)


def _narrow(cfg: dict) -> None:
    """Take a quarter of the channels of a detector's ResNet, if only the neck asks."""
    backbone, neck = cfg.get('backbone') or {}, cfg.get('neck')
    if backbone.get('type') != 'ResNet' or not cfg.get(
        'bbox_head', cfg.get('roi_head')
    ):
        return
    if isinstance(neck, dict) and isinstance(neck.get('in_channels'), list):
        necks = [neck]
    elif isinstance(neck, list) and isinstance(neck[0].get('in_channels'), list):
        necks = neck[:1]
    else:
        return
    if backbone.get('norm_cfg', {}).get('type') == 'GN':
        return
    backbone.base_channels = backbone.get('base_channels', 64) // 4
    if backbone.get('stem_channels'):
        backbone.stem_channels //= 4
    necks[0].in_channels = [channels // 4 for channels in necks[0].in_channels]


def model_cfg(name: str) -> ConfigDict:
    """The model that a config names, or one of :data:`OTHERS`, small."""
    model = copy.deepcopy(OTHERS.get(name, dict(cfg_path=name)))
    if 'cfg_path' in model:
        model['cfg_path'] = path_of(model['cfg_path'])
    if model.get('type') == 'HuggingFaceClassifier':
        model['model_name'] = _hugging_face_folder(model['model_name'])
    cfg = shrink(load_model_cfg(model, 'model'))
    cfg.setdefault('_scope_', name.split('::')[0] if '::' in name else 'mmpretrain')
    _narrow(cfg)
    return cfg


# ---- batches


def batch_of(name: str, cfg: dict, side: int) -> dict:
    """What a data loader gives: random images that the model can be trained on."""
    rng = np.random.RandomState(0)
    if cfg.get('_scope_') == 'mmpretrain' and 'roi_head' not in cfg:
        return _images(rng, cfg, side)
    return _scenes(rng, cfg, side)


def _images(rng: np.random.RandomState, cfg: dict, side: int) -> dict:
    from mmpretrain.structures import DataSample, MultiTaskDataSample

    head = cfg.get('head') or {}
    samples = []
    for index in range(2):
        if head.get('type') == 'MultiTaskHead':
            sample = MultiTaskDataSample()
            for task in head['task_heads']:
                sample.set_field(DataSample().set_gt_label(index), task)
        elif 'MultiLabel' in str(head.get('type')) or head.get('type') == 'CSRAClsHead':
            score = (
                np.eye(head.get('num_classes', 10))[index]
                + np.eye(head.get('num_classes', 10))[index + 1]
            )
            sample = DataSample().set_gt_label([index, index + 1]).set_gt_score(score)
        else:
            sample = DataSample().set_gt_label(index)
            if (head.get('loss') or {}).get('use_sigmoid'):
                sample.set_gt_score(np.eye(head['num_classes'])[index])
        samples.append(sample)
    pixels = rng.randint(0, 256, (2, 3, side, side), dtype=np.uint8)
    if cfg.get('backbone', {}).get('type') == 'LeNet5':
        pixels = pixels[:, :1]
    return dict(inputs=list(torch.from_numpy(pixels)), data_samples=samples)


def _scenes(rng: np.random.RandomState, cfg: dict, side: int) -> dict:
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData, PixelData

    num_classes = min([3, *_values(cfg, 'num_classes')])
    has_masks = any('mask' in f'{place} {kind}'.lower() for place, kind in parts(cfg))
    inputs, samples = [], []
    shapes = ((side, side + 32), (side - 32, side))  # some take multiples of 32 only
    if side >= 300:  # what needs large images may need them all of one size
        shapes = ((side, side), (side, side))
    for height, width in shapes:
        corner = rng.uniform(0, 0.5, (3, 2))
        boxes = np.hstack([corner, corner + rng.uniform(0.2, 0.5, (3, 2))])
        boxes = (boxes * [width, height, width, height]).astype(np.float32)
        masks = np.zeros((3, height, width), dtype=np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int)):
            mask[y1:y2, x1:x2] = 1
        sample = DetDataSample(
            metainfo=dict(
                img_id=len(samples),
                img_path='',
                img_shape=(height, width),
                ori_shape=(height, width),
                scale_factor=(1.0, 1.0),
                flip=False,
                flip_direction=None,
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=HorizontalBoxes(torch.from_numpy(boxes)),
            labels=torch.arange(3) % num_classes,
        )
        if has_masks:
            sample.gt_instances.masks = BitmapMasks(masks, height, width)
        sample.ignored_instances = InstanceData(
            bboxes=HorizontalBoxes(torch.zeros(0, 4)), labels=torch.zeros(0).long()
        )
        stride = 1 if cfg['type'] in ('PanopticFPN', 'MaskFormer', 'Mask2Former') else 8
        shape = (1, -(-height // stride), -(-width // stride))
        sample.gt_sem_seg = PixelData(
            sem_seg=torch.from_numpy(rng.randint(0, 3, shape).astype(np.int64))
        )
        pixels = rng.randint(0, 256, (3, height, width), dtype=np.uint8)
        inputs.append(torch.from_numpy(pixels))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def _values(cfg: Any, key: str) -> Iterator[int]:
    """All whole numbers of a name in nested dicts and lists."""
    if isinstance(cfg, dict):
        if isinstance(cfg.get(key), int):
            yield cfg[key]
        cfg = list(cfg.values())
    if isinstance(cfg, (list, tuple)):
        for value in cfg:
            yield from _values(value, key)


def sides(name: str, cfg: dict) -> List[int]:
    """Sides of the images to try, in pixels: of the config where it is fixed."""
    if '::' not in name:
        return [64, 224]
    if not name.startswith('mmpretrain'):
        return [96, 320, 300]
    whole = Config.fromfile(path_of(name))
    for step in _dicts(whole.get('train_pipeline') or whole.get('train_dataloader')):
        if step.get('type') in (
            'RandomResizedCrop',
            'RandomCrop',
            'Resize',
            'CenterCrop',
        ):
            side = step.get('scale') or step.get('crop_size')
            side = side if isinstance(side, int) else side[0]
            return [96, side] if side > 96 else [side]
    return [96, 224]


def _dicts(cfg: Any) -> Iterator[dict]:
    if isinstance(cfg, dict):
        yield cfg
        cfg = list(cfg.values())
    if isinstance(cfg, (list, tuple)):
        for value in cfg:
            yield from _dicts(value)


# ---- the proof


class Failed(Exception):
    """A step that raised; ``args`` are the step's name and its error."""


class Proof:
    """The steps that a model takes with itself as the teacher.

    Args:
        cfg (ConfigDict): The model.
        batch (dict): A batch, as a data loader gives it.
        folder (str): Where weights can be written.
    """

    def __init__(self, cfg: ConfigDict, batch: dict, folder: str) -> None:
        self.cfg = cfg
        self.batch = batch
        self.ckpt = osp.join(folder, 'weights.pth')
        self.family = ''
        self.remarks: List[str] = []
        self.dropped: Optional[Set[str]] = None

    def run(self) -> None:
        """Take all steps.

        Raises:
            Failed: For the first step that fails.
        """
        steps = (self.build, self.same, self.train, self.predict)
        for step in steps:
            try:
                # what was proven before proves nothing here
                with patch(
                    'luminet_mm.distillers.logit_distiller.is_proven', _anything
                ):
                    step()
            except Failed:
                raise
            except Exception as error:
                raise Failed(step.__name__, error) from error

    def plain(self) -> nn.Module:
        """The model itself, with the weights that all share."""
        torch.manual_seed(0)
        if not osp.isfile(self.ckpt):
            return MODELS.build(copy.deepcopy(self.cfg))
        with uninitialised():
            model = MODELS.build(copy.deepcopy(self.cfg))
        self._load(model, torch.load(self.ckpt)['state_dict'])
        return model

    def _load(self, model: nn.Module, state_dict: Dict[str, Tensor]) -> None:
        """Load strictly; but some models drop buffers, and make them anew."""
        wrong = model.load_state_dict(state_dict, strict=False)
        missing = {
            name[8:] if name.startswith('student.') else name for name in wrong[0]
        }
        if self.dropped is None:
            self.dropped = missing
        if missing - self.dropped or wrong[1]:
            raise RuntimeError(
                f'does not load strictly: missing {_few(missing - self.dropped)}, '
                f'unexpected {_few(wrong[1])}'
            )

    def control(self, step: str) -> Optional[Exception]:
        """How the plain model fails in the same step, if it does."""
        try:
            model = self.plain()
            model.train(step == 'train')
            if step == 'same':
                _calm(model)
            self._ask(model, 'predict' if step == 'predict' else 'loss')
        except Exception as error:
            return error

    def build(self) -> None:
        """Save weights with statistics that a fresh model has not."""
        with uninitialised():
            try:
                model = MODELS.build(copy.deepcopy(self.cfg))
            except Exception as error:
                raise Failed('upstream', error) from error
            self.family = family(model)
            only = dict(loss_difference=dict(type=Difference))
            self.family = self._build_distiller(only, {}).source.family(model)
        size = sum(p.numel() for p in model.parameters()) / 1e6
        if size > LARGEST:
            raise Failed('upstream', ValueError(f'{size:.0f} M parameters, too many'))
        try:
            model = self.plain()
            model.init_weights()
        except Exception as error:
            raise Failed('upstream', error) from error
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                if module.track_running_stats and module.running_mean is not None:
                    module.running_mean.normal_(0, 0.1)
                    module.running_var.uniform_(0.5, 1.5)
        torch.save(dict(state_dict=model.state_dict()), self.ckpt)
        self._load(model, model.state_dict())
        if self.dropped:
            self.remarks.append(
                f'the model itself drops {len(self.dropped)} buffers on loading'
            )
        del model
        self.distiller = self._distiller(accelerate_teacher=False)

    def same(self) -> None:
        """Own weights give 0, other weights do not."""
        distiller = self.distiller.eval()
        _calm(distiller.student)
        wrong = self._not_zero(distiller)
        if wrong and max(map(abs, wrong.values())) < ROUNDING:
            distiller.student.requires_grad_(False)  # as the teacher's are
            self.remarks.append(
                'losses are 0 but for rounding, since torch adds up in another order '
                'where weights are frozen'
            )
            wrong = self._not_zero(distiller)
        rounding = max(map(abs, wrong.values()), default=0) < ROUNDING
        if wrong and rounding and hasattr(distiller.student, 'dn_query_generator'):
            self.remarks[:] = [
                'losses are 0 but for rounding, since queries that only training has '
                'make torch add up in another order'
            ]
            wrong = {}
        if wrong:
            raise RuntimeError(f'not 0 with own weights: {wrong}')
        with torch.no_grad():
            for parameter in distiller.parameters():
                if parameter.is_floating_point():
                    parameter.add_(0.01 * torch.randn_like(parameter))
        losses = self._ask(distiller, 'loss')
        unmoved = [
            name
            for name in distiller.distill_losses
            if name.startswith('loss_difference') and bool(losses[name] == 0)
        ]
        if unmoved:
            raise RuntimeError(f'still 0 with other weights: {unmoved}')
        self.distiller = None

    def _not_zero(self, distiller: nn.Module) -> Dict[str, float]:
        """The distillation losses that are not exactly 0."""
        losses = self._ask(distiller, 'loss')
        return {
            name: float(losses[name])
            for name in distiller.distill_losses
            if not bool((losses[name] == 0).all())
        }

    def train(self) -> None:
        """One step with default settings."""
        self.distiller = self._distiller().train()
        trained = _gradients(self.distiller, self._ask(self.distiller, 'loss'))
        if trained:
            model = self.plain()
            model.train()
            upstream = _gradients(model, self._ask(model, 'loss'))
            worse = {name: why for name, why in trained.items() if name not in upstream}
            if worse:
                names = [f'{name} {why}' for name, why in worse.items()]
                raise RuntimeError(f'gradients: {_few(names)}')
            self.remarks.append(
                f'{len(trained)} parameters have no gradient in the plain model either'
            )

    def predict(self) -> None:
        """Predict, and hand the weights to the plain model."""
        self._ask(self.distiller.eval(), 'predict')
        model, weights = self.plain(), self.distiller.state_dict()
        if set(weights) - set(model.state_dict()):
            self._ask(model.train(), 'loss')
            self.remarks.append('has some weights by two names once it was trained')
        self._load(model, weights)

    def _distiller(self, **kwargs: Any) -> nn.Module:
        torch.manual_seed(0)
        losses = dict(
            loss_kd=dict(type='luminet_mm.KDLoss'),
            loss_difference=dict(type=Difference),
            loss_difference_deltas=dict(
                type=Difference, logits=False, compares='deltas'
            ),
            loss_box=dict(type='luminet_mm.BoxLoss'),
            loss_difference_sides=dict(type=Difference, compares='sides'),
            loss_sides=dict(type='luminet_mm.LuminetLoss', compares='sides'),
            loss_difference_objectness=dict(type=Difference, compares='objectness'),
            loss_objectness=dict(type='luminet_mm.KDLoss', compares='objectness'),
        )
        while True:
            try:
                with uninitialised():
                    distiller = self._build_distiller(losses, kwargs)
                    distiller.teachers  # noqa: B018
                break
            except ValueError as error:
                # what a family does not offer is not compared
                name = next(
                    (n for n in reversed(losses) if _about(n, str(error))), None
                )
                if name is None or not by_us(error):
                    raise
                del losses[name]
        self._load(distiller, torch.load(self.ckpt)['state_dict'])
        self.compared = sorted(distiller.source.compared)
        return distiller

    def _build_distiller(self, losses: dict, kwargs: dict) -> nn.Module:
        distiller = MODELS.build(
            dict(
                type='luminet_mm.LogitDistiller',
                student=copy.deepcopy(self.cfg),
                teacher=copy.deepcopy(self.cfg),
                teacher_ckpt=self.ckpt,
                distill_losses=copy.deepcopy(losses),
                **kwargs,
            )
        )
        return distiller

    def _ask(self, model: nn.Module, mode: str) -> Any:
        torch.manual_seed(1)
        np.random.seed(1)
        with torch.set_grad_enabled(mode == 'loss'):
            batch = copy.deepcopy(self.batch)
            batch = model.data_preprocessor(batch, training=mode == 'loss')
            return model(**batch, mode=mode)


@contextmanager
def uninitialised() -> Iterator[None]:
    """Builds models without the random numbers that a checkpoint replaces."""
    names = [n for n in dir(nn.init) if n.endswith('_') and not n.startswith('_')]
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(
                patch.object(nn.init, name, lambda tensor, *a, **k: tensor)
            )
        yield


def _calm(model: nn.Module) -> None:
    """All in eval mode but those own flags that say how much is predicted."""
    model.eval()
    if getattr(model, 'bbox_head', None) is not None:
        model.bbox_head.training = True
    if hasattr(model, 'forward_transformer'):
        for module in (model, model.decoder):
            module.training = True


def _anything(*args: Any) -> bool:
    return True


def _about(name: str, error: str) -> bool:
    """Whether an error refuses what a loss compares."""
    if f'distill_losses.{name}:' in error:
        return True
    words = dict(
        deltas=('loss of boxes', "compares 'deltas'"),
        box=('loss of boxes', "compares 'deltas'"),
        sides=("compares 'sides'",),
        objectness=('objectness',),
    ).get(name.rsplit('_', 1)[-1], ())
    return 'remove' in error and any(each in error for each in words)


def _gradients(model: nn.Module, losses: Dict[str, Tensor]) -> Dict[str, str]:
    """Parameters that a step does not train, and why."""
    total, _ = model.parse_losses(losses)
    total.backward()
    wrong = {}
    for name, parameter in model.named_parameters():
        name = name[8:] if name.startswith('student.') else name
        if parameter.requires_grad and parameter.grad is None:
            wrong[name] = 'none'
        elif parameter.requires_grad and not bool(parameter.grad.isfinite().all()):
            wrong[name] = 'not finite'
    return wrong


def _few(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f' and {len(names) - 3} more' if len(names) > 3 else ''
    return (', '.join(names[:3]) or 'none') + more


def by_us(error: BaseException) -> bool:
    """Whether luminet_mm itself raised, on purpose."""
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return 'luminet_mm' in osp.dirname(last).split(os.sep) and isinstance(
        error, (TypeError, ValueError)
    )


def family(model: nn.Module) -> str:
    """The classes of a model that no source takes."""
    head = None
    for name in ('roi_head', 'bbox_head', 'head', 'detector'):
        head = head or getattr(model, name, None)
    return class_names(model, head)


# ---- one model in a process of its own


def prove(name: str, folder: str) -> dict:
    """The verdict of one model, and what there is to say about it.

    Returns:
        dict: ``config``, ``family``, ``backbone``, ``verdict`` and ``remark``.
        Verdicts: 'works', 'refused' by an error of luminet_mm's, 'upstream' where the
        plain model cannot take the step here, 'wrong'.
    """
    warnings.simplefilter('ignore')
    MMLogger.get_instance('walk', log_level='ERROR')
    hub = MessageHub.get_current_instance()
    for key, value in dict(iter=0, epoch=0, max_iters=1000, max_epochs=12).items():
        hub.update_info(key, value)
    result = dict(
        config=name, family='', backbone='', verdict='', remark='', compared=[]
    )
    try:
        cfg = model_cfg(name)
    except Exception as error:
        return dict(result, verdict='upstream', remark=f'config: {_last_line(error)}')
    init_default_scope(cfg.get('_scope_', 'mmdet'))
    result['family'] = str(cfg.get('type'))
    backbone = cfg.get('backbone') or cfg.get('image_encoder') or {}
    result['backbone'] = str(
        backbone.get('type')
        if isinstance(backbone, dict)
        else cfg.get('model_name', '')
    )
    for side in sides(name, cfg):
        proof = Proof(cfg, batch_of(name, cfg, side), folder)
        try:
            proof.run()
            result.update(verdict='works', remark='; '.join(proof.remarks))
            result['compared'] = proof.compared
        except Failed as failed:
            result.update(_verdict(proof, *failed.args))
        result['family'] = proof.family or result['family']
        if result['verdict'] in ('works', 'refused'):
            break
    return result


def _verdict(proof: Proof, step: str, error: Exception) -> dict:
    text = _last_line(error)
    if step == 'upstream':
        return dict(verdict='upstream', remark=text)
    if by_us(error):
        late = '' if step == 'build' else f'{step}: '
        return dict(verdict='refused', remark=late + text)
    control = None if step == 'build' else proof.control(step)
    if control is not None:
        return dict(verdict='upstream', remark=f'{step}: {_last_line(control)}')
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f'{osp.basename(place.filename)}:{place.lineno}'
    return dict(verdict='wrong', remark=f'{step}: {text} ({where})')


def _last_line(error: BaseException) -> str:
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text}'[:400]


def _child(name: str, folder: str, pipe: Any) -> None:
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    pipe.send(prove(name, folder))


def prove_apart(name: str, timeout: float) -> dict:
    """:func:`prove` in a process of its own, which may crash or hang.

    Args:
        name (str): The model.
        timeout (float): Seconds after which it is given up.
    """
    context = multiprocessing.get_context('fork')
    ours, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        child = context.Process(target=_child, args=(name, folder, theirs))
        child.start()
        theirs.close()
        result = dict(
            config=name, family='', backbone='', verdict='wrong', remark='', compared=[]
        )
        try:
            if ours.poll(timeout):
                result = ours.recv()
            else:
                result['remark'] = f'does not end within {timeout:.0f} s'
        except EOFError:
            child.join()
            result['remark'] = f'the process ended with {child.exitcode}'
        child.kill()
        child.join()
    return result


# ---- the page, and the list that the distiller reads


def by_family(results: List[dict]) -> Dict[str, List[dict]]:
    """Results by family, in the order of their names."""
    families: Dict[str, List[dict]] = {}
    for result in sorted(results, key=lambda each: (each['family'], each['config'])):
        families.setdefault(result['family'], []).append(result)
    return families


def proven(results: List[dict]) -> List[str]:
    """Families of which a model took all steps, and none did wrong."""
    return [
        name
        for name, members in by_family(results).items()
        if {'works', 'wrong'} & {member['verdict'] for member in members} == {'works'}
    ]


def page(results: List[dict]) -> str:
    """docs/supported_models.md."""
    lines = [HEADER]
    for verdict, title in SECTIONS.items():
        chosen = [result for result in results if result['verdict'] == verdict]
        if not chosen:
            continue
        lines += ['', f'## {title}', '', *TABLES[verdict]]
        for name, members in by_family(chosen).items():
            models = ', '.join(f'`{m["config"]}`' for m in members)
            backbones = ', '.join(sorted({m['backbone'] for m in members} - {'None'}))
            remark = '<br>'.join(sorted({m['remark'] for m in members} - {''}))
            compared = ', '.join(sorted({c for m in members for c in m['compared']}))
            cells = [name, compared, backbones, models, remark]
            if verdict != 'works':
                del cells[1]
            lines.append('| ' + ' | '.join(c.replace('|', r'\|') for c in cells) + ' |')
    return '\n'.join(lines) + '\n'


HEADER = """# Supported models

Written by `tools/analysis_tools/walk_model_zoo.py`; change nothing here by hand.

A family of models is supported where this was shown, in a small variant on the CPU,
with the model as its own teacher: every distillation loss is exactly 0 with the
student's own weights and not 0 with others, one training step with default settings
gives every trainable parameter a finite gradient, the distiller predicts, and what it
saves loads strictly into the plain model. A family is named by the classes that decide
what its rows are. One that is neither shown nor refused can be tried: the log warns,
and the first iteration checks that the model has nothing to learn from itself."""

SECTIONS = dict(
    works='Works',
    wrong='Does not work',
    refused='Refused',
    upstream='Not shown',
)
TABLES = dict(
    works=['| family | compared | backbones | shown with | remark |', '|---' * 5 + '|'],
    wrong=['| family | backbones | shown with | why |', '|---' * 4 + '|'],
    refused=['| family | backbones | shown with | the error |', '|---' * 4 + '|'],
    upstream=[
        'The plain model fails here, on a CPU without downloads, or upstream.',
        '',
        '| family | backbones | tried with | why |',
        '|---' * 4 + '|',
    ],
)


def write(results: List[dict], path: str) -> None:
    """Write the results, and with them the page and the list."""
    results.sort(key=lambda result: result['config'])
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    mmengine.dump(results, path, indent=1)
    if path == RESULTS:
        with open(PAGE, 'w') as file:
            file.write(page(results))
        with open(FAMILIES, 'w') as file:
            file.writelines(f'{name}\n' for name in proven(results))


def main() -> int:
    """Walk, and say 1 where a model does not work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('zoo', nargs='?', default='all', choices=[*ZOOS, 'all'])
    parser.add_argument(
        '--only', default='*', help="configs to try, e.g. '*retinanet*' (default: all)"
    )
    parser.add_argument(
        '--keep',
        nargs='*',
        default=[],
        metavar='VERDICT',
        help='verdicts of the results that are not tried again, e.g. works refused',
    )
    parser.add_argument(
        '--results',
        default=RESULTS,
        help='where they are written; page and list only with the default',
    )
    parser.add_argument(
        '--timeout', type=float, default=240, help='seconds for a model (default: 240)'
    )
    args = parser.parse_args()
    import mmdet.models  # noqa: F401
    import mmpretrain.models  # noqa: F401
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True  # or some models wait for an answer

    names = [] if args.zoo == 'mmdet' else list(OTHERS)
    for zoo in ZOOS if args.zoo == 'all' else [args.zoo]:
        names += configs(zoo)
    results = mmengine.load(args.results) if osp.isfile(args.results) else []
    if (args.zoo, args.only) == ('all', '*'):
        results = [each for each in results if each['config'] in names]
    known = {each['config']: each['verdict'] for each in results}
    for name in sorted(fnmatch.filter(names, args.only)):
        if known.get(name) in args.keep:
            continue
        start = time.time()
        result = prove_apart(name, args.timeout)
        results = [each for each in results if each['config'] != name] + [result]
        write(results, args.results)
        print(
            f'{time.time() - start:5.1f} s  {result["verdict"]:8}  {name}  '
            f'{result["remark"][:200]}',
            flush=True,
        )
    verdicts = [each['verdict'] for each in results]
    print(', '.join(f'{verdicts.count(verdict)} {verdict}' for verdict in SECTIONS))
    return int('wrong' in verdicts)


if __name__ == '__main__':
    sys.exit(main())
