"""What upstream does to a plain model it does to the student of a distiller.

Everything is run twice, on the plain model and on a distiller whose losses have no
weight, and must leave the same behind, to the last bit.
"""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.hooks.test_time_aug_hook import build_runner_with_tta
from mmengine.model import convert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, init_default_scope
from mmengine.runner import Runner
from mmengine.runner import load_checkpoint as mmengine_load_checkpoint
from mmpretrain.models import ImageClassifier
from tiny import (
    build,
    classification_run,
    classifier,
    dense,
    detection_run,
    distilled,
    distiller,
    faster_rcnn,
    image_folder,
    load_checkpoint,
    merged,
    save_weights,
)

from luminet_mm.config import load_model_cfg
from luminet_mm.distillers import base_distiller
from luminet_mm.registry import MODELS

NO_WEIGHT = dict(loss_kd=dict(type='luminet_mm.KDLoss', loss_weight=0.0))


class MaxPooling(torch.nn.Module):
    def forward(self, feats):
        return tuple(feat.amax(dim=(2, 3)) for feat in feats)


@HOOKS.register_module(force=True)
class OfTheRootHook(Hook):
    """Reads, calls and replaces what stands on the model itself, as users' hooks do."""

    def before_train_epoch(self, runner):
        model = runner.model
        assert model.with_head and model.head.num_classes == 5
        if runner.epoch:
            model.neck = MaxPooling()


def train(model, root, name, make_run, **overrides):
    """What a run's last checkpoint holds: weights, averages, optimizer."""
    cfg = make_run(model, root, root / name, **overrides)
    Runner.from_cfg(Config(cfg)).train()
    checkpoint = load_checkpoint(root / name / 'epoch_2.pth')
    keys = ('state_dict', 'ema_state_dict', 'optimizer')
    return {key: checkpoint.get(key) for key in keys}


def equal(one, other):
    """Whether nested containers of tensors are the same to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


MIXUP = dict(type='Mixup', alpha=0.8)
SMOOTH = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=5)
SWITCHES = [
    dict(action_epoch=1, batch_augments=dict(augments=[MIXUP])),
    dict(action_epoch=2, loss=SMOOTH, batch_augments=None),
]
FLATTER = dict(
    optimizer=dict(type='SGD', lr=0.01, weight_decay=1e-2),
    paramwise_cfg=dict(
        custom_keys={'backbone': dict(lr_mult=0.1), '.fc': dict(decay_mult=0.5)},
        norm_decay_mult=0.0,
        bias_lr_mult=2.0,
    ),
)


def hook(type, **kwargs):
    return dict(custom_hooks=[dict(type=type, **kwargs)])


RUNS = dict(
    switch_recipe=(classifier(), hook('SwitchRecipeHook', schedule=SWITCHES)),
    ema=(classifier(), hook('EMAHook', momentum=0.1)),
    ema_with_buffers=(
        classifier(),
        hook('mmengine.EMAHook', momentum=0.1, update_buffers=True),
    ),
    precise_bn=(classifier(), hook('PreciseBNHook', num_samples=8)),
    warmup_param=(
        classifier(),
        hook(
            'WarmupParamHook',
            param_name='loss_weight',
            module_name='head.loss_module',
            warmup_epochs=2,
        ),
    ),
    users_hook=(classifier(), hook('OfTheRootHook')),
    paramwise=(classifier(), dict(optim_wrapper=FLATTER)),
    efficient_conv_bn=(
        classifier(backbone=dict(norm_eval=True)),
        dict(cfg=dict(efficient_conv_bn_eval=['backbone'])),
    ),
    checkpointing=(
        classifier(),
        dict(cfg=dict(activation_checkpointing=['backbone.layer2', 'neck'])),
    ),
    detectors_checks=(
        faster_rcnn(),
        dict(
            custom_hooks=[
                dict(type='NumClassCheckHook'),
                dict(type='CheckInvalidLossHook', interval=1),
                dict(type='SyncNormHook'),
                dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.01),
            ]
        ),
    ),
)


@pytest.fixture(scope='module')
def untouched(tmp_path_factory):
    """What a run without anything leaves behind."""
    root = tmp_path_factory.mktemp('untouched')
    return train(classifier(), root, 'plain', classification_run)


@pytest.mark.parametrize('name', RUNS)
def test_trains_as_the_plain_model(name, untouched, tmp_path):
    cfg, overrides = RUNS[name]
    make_run = detection_run if cfg['_scope_'] == 'mmdet' else classification_run
    ckpt = save_weights(cfg, tmp_path / 'teacher.pth', seed=5)
    model = dict(distilled(cfg, cfg, ckpt), distill_losses=NO_WEIGHT)
    plain = load_model_cfg(cfg, 'model')
    expected = train(plain, tmp_path, 'plain', make_run, **overrides)
    assert equal(expected, untouched) == (name == 'checkpointing')
    left = train(model, tmp_path, 'distilled', make_run, **overrides)
    for key, value in expected.items():
        assert equal(left[key], value), key


def test_averages_are_resumed(tmp_path):
    """As of the plain model: the averages and what they are of, to the last bit."""
    cfg, hooks = classifier(), hook('EMAHook', momentum=0.1)
    ckpt = save_weights(cfg, tmp_path / 'teacher.pth', seed=5)
    model = dict(distilled(cfg, cfg, ckpt), distill_losses=NO_WEIGHT)
    whole = train(cfg, tmp_path, 'whole', classification_run, **hooks)
    for name in ('first', 'then'):
        resumed = dict(
            hooks,
            train_cfg=dict(max_epochs=1 if name == 'first' else 2),
            resume=name == 'then',
            experiment_name=name,
        )
        run = classification_run(model, tmp_path, tmp_path / 'distilled', **resumed)
        Runner.from_cfg(Config(run)).train()
    left = load_checkpoint(tmp_path / 'distilled/epoch_2.pth')
    for key in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert equal(left[key], whole[key]), key


PIXELS = classifier()['data_preprocessor']
HEAD = dict(type='LinearClsHead', num_classes=5, in_channels=16)
VIT = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
SWIN = dict(embed_dims=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 2, 2])
CONVNEXT = dict(depths=[1, 1, 4, 1], channels=[8, 8, 16, 16])
BACKBONES = dict(
    vit=dict(type='VisionTransformer', arch=VIT, img_size=32, patch_size=8),
    swin=dict(type='SwinTransformer', arch=SWIN, img_size=32, patch_size=2),
    convnext=dict(type='ConvNeXt', arch=CONVNEXT, drop_path_rate=0.1),
)
STUDENTS = {
    name: dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        data_preprocessor=PIXELS,
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling') if name == 'swin' else None,
        head=merged(HEAD, dict(in_channels=128) if name == 'swin' else {}),
    )
    for name, backbone in BACKBONES.items()
}
DETECTOR = faster_rcnn()
DETECTOR['backbone'] = dict(
    _delete_=True,
    type='mmpretrain.ConvNeXt',
    arch=dict(depths=[1, 1, 4, 1], channels=[8, 16, 32, 64]),
    out_indices=(0, 1, 2, 3),
    gap_before_final_norm=False,
)
CUSTOM = {
    '.cls_token': dict(decay_mult=0.0),
    'pos_embed': dict(decay_mult=0.0),
    'backbone': dict(lr_mult=0.1),
    'relative_position_bias_table': dict(decay_mult=0.0),
}
DEFAULT = dict(
    constructor='DefaultOptimWrapperConstructor',
    paramwise_cfg=dict(
        custom_keys=CUSTOM, norm_decay_mult=0.0, bias_lr_mult=2.0, flat_decay_mult=0.0
    ),
)
BY_LAYER = dict(
    constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.75,
        flat_decay_mult=0.0,
        custom_keys={'.cls_token': dict(decay_mult=0.0)},
    ),
)
OF_CONVNEXT = dict(
    constructor='mmdet.LearningRateDecayOptimizerConstructor',
    paramwise_cfg=dict(decay_rate=0.9, decay_type='layer_wise', num_layers=6),
)
BY_STAGE = merged(OF_CONVNEXT, dict(paramwise_cfg=dict(decay_type='stage_wise')))


@pytest.mark.parametrize(
    ('student', 'cfg'),
    [
        *((student, DEFAULT) for student in (*STUDENTS.values(), DETECTOR)),
        *((student, BY_LAYER) for student in STUDENTS.values()),
        *((STUDENTS['convnext'], cfg) for cfg in (OF_CONVNEXT, BY_STAGE)),
        *((DETECTOR, cfg) for cfg in (OF_CONVNEXT, BY_STAGE)),
    ],
)
def test_groups_parameters_as_of_the_plain_model(student, cfg, tmp_path):
    """Rates, decays and names, of each parameter and in the same order."""
    ckpt = save_weights(student, tmp_path / 'teacher.pth')
    adamw = dict(type='AdamW', lr=1e-3, weight_decay=0.05)
    groups = []
    for model in (build(student), distiller(student, student, ckpt)):
        wrapper = build_optim_wrapper(
            model, dict(optimizer=adamw, **copy.deepcopy(cfg))
        )
        names = {parameter: name for name, parameter in model.named_parameters()}
        assert all(name in model.state_dict() for name in names.values())
        for group in wrapper.optimizer.param_groups:
            group['params'] = [names[parameter] for parameter in group['params']]
            if 'param_name' in group:
                group['param_name'] = group['param_name'].replace('student.', '', 1)
        groups.append(wrapper.optimizer.param_groups)
    plain, of_the_distiller = groups
    assert of_the_distiller == plain
    assert len({(group['lr'], group['weight_decay']) for group in plain}) > 2


def test_peers_count_their_own_layers():
    deep = merged(STUDENTS['vit'], dict(backbone=dict(arch=dict(num_layers=5))))
    init_default_scope('mmpretrain')
    mutual = MODELS.build(
        dict(
            type='luminet_mm.MutualDistiller',
            student=STUDENTS['vit'],
            peers=deep,
            distill_losses=NO_WEIGHT,
        )
    )
    layer = 'backbone.layers.1.ffn.layers.1.weight'
    assert mutual.get_layer_depth(f'student.{layer}') == (2, 5)
    assert mutual.get_layer_depth(f'peers.0.{layer}') == (2, 7)
    assert mutual.get_layer_depth('distill_losses.loss_kd.weight') == (4, 5)
    names = [name for name, _ in mutual.named_parameters()]
    assert sorted(names) == sorted(set(mutual.state_dict()) & set(names))


@pytest.fixture
def pair(tmp_path):
    """A detector, and a distiller whose student it is."""
    cfg = faster_rcnn()
    ckpt = save_weights(cfg, tmp_path / 'teacher.pth')
    one = distiller(cfg, cfg, ckpt)
    one.init_weights()
    return one.student, one


def test_what_it_has_not_is_its_students(pair):
    student, one = pair
    assert one.roi_head is student.roi_head and one.with_rpn and not one.with_mask
    assert one.student is student and one.source is not None
    one.test_cfg = changed = copy.deepcopy(student.test_cfg)
    assert student.test_cfg is changed and 'test_cfg' not in vars(one)
    one.roi_head = None
    assert student.roi_head is None and 'roi_head' not in one._modules
    one.epoch = 3  # nobody's yet
    assert one.epoch == 3 and not hasattr(student, 'epoch')
    one.warmup = 7
    one.student = other = torch.nn.Identity()
    assert one.warmup == 7 and one.student is other


def test_says_whose_an_attribute_is_not(pair):
    student, one = pair
    assert not hasattr(one, 'mistake') and getattr(one, 'mistake', 5) == 5
    with pytest.raises(AttributeError, match="'FasterRCNN' object has no .*'mistake'"):
        one.mistake  # noqa: B018


def test_is_copied_and_pickled_whole(pair):
    student, one = pair
    student.__class__.__deepcopy__ = lambda self, memo: pytest.fail('of the student')
    try:
        assert not hasattr(one, '__deepcopy__')
    finally:
        del student.__class__.__deepcopy__
    # an object of which only the class exists, as while it is unpickled
    with pytest.raises(AttributeError):
        type(one).__new__(type(one)).roi_head  # noqa: B018
    copied = copy.deepcopy(one)
    assert copied.roi_head is copied.student.roi_head is not one.roi_head
    assert equal(copied.state_dict(), one.state_dict())
    loaded = pickle.loads(pickle.dumps(one))
    assert equal(loaded.state_dict(), one.state_dict())
    assert loaded.roi_head is loaded.student.roi_head


def test_modules_have_the_names_of_their_weights(pair):
    student, one = pair
    plain = dict(student.named_modules())
    for name, module in one.named_modules():
        if name and name.split('.')[0] != 'distill_losses':
            assert plain[name] is module is one.get_submodule(name), name
    assert set(plain) <= {name for name, _ in one.named_modules()}
    assert set(one.modules()) >= {one, *student.modules()}
    for names, prefix in (
        (dict(one.named_parameters()), ''),
        (dict(torch.nn.Sequential(one).named_parameters(prefix='a')), 'a.0.'),
    ):
        expected = {prefix + name: p for name, p in student.named_parameters()}
        assert list(names) == list(expected)
        assert all(names[name] is p for name, p in expected.items())


def test_converts_normalisation_for_several_processes(pair):
    """As ``sync_bn='torch'`` of a config."""
    student, one = pair
    kinds = [type(module).__name__ for module in student.modules()]
    one = convert_sync_batchnorm(one, 'torch')
    converted = [type(module).__name__ for module in one.student.modules()]
    assert converted == [kind.replace('BatchNorm2d', 'SyncBatchNorm') for kind in kinds]
    assert 'SyncBatchNorm' in converted
    assert not any(
        isinstance(module, torch.nn.SyncBatchNorm)
        for module in one.teachers[0].model.modules()
    )


def test_hooks_that_know_the_epoch(pair):
    student, one = pair
    loader = SimpleNamespace(
        dataset=SimpleNamespace(update_skip_type_keys=lambda keys: None)
    )
    runner = SimpleNamespace(
        epoch=285,
        max_epochs=300,
        model=one,
        train_dataloader=loader,
        logger=SimpleNamespace(info=lambda text: None),
    )
    student.bbox_head = SimpleNamespace(use_l1=False)
    HOOKS.build(dict(type='mmdet.YOLOXModeSwitchHook')).before_train_epoch(runner)
    assert student.bbox_head.use_l1
    student.set_epoch = lambda epoch: setattr(student, 'epoch', epoch)
    HOOKS.build(dict(type='mmdet.SetEpochInfoHook')).before_train_epoch(runner)
    assert student.epoch == one.epoch == 285


def test_checks_of_class_numbers(tmp_path):
    """Upstream's hooks find the student's heads, and nothing else."""
    for cfg, hook_type, make_run, names in (
        (classifier(), 'ClassNumCheckHook', classification_run, 4),
        (faster_rcnn(), 'NumClassCheckHook', detection_run, 2),
    ):
        ckpt = save_weights(cfg, tmp_path / 'teacher.pth')
        run = make_run(
            distilled(cfg, cfg, ckpt),
            tmp_path / hook_type,
            tmp_path / 'run',
            custom_hooks=[dict(type=hook_type)],
        )
        metainfo = dict(classes=tuple('abcdef'[:names]))
        run['train_dataloader']['dataset']['metainfo'] = metainfo
        if hook_type == 'ClassNumCheckHook':
            run['train_dataloader']['dataset']['data_prefix'] = image_folder(
                tmp_path / 'few', num_classes=names
            )
        with pytest.raises(AssertionError, match='does not match'):
            Runner.from_cfg(Config(run)).train()


def test_augments_in_testing(tmp_path):
    """A model that wraps the distiller, as upstream's hook makes it."""
    cfg = classifier()
    ckpt = save_weights(cfg, tmp_path / 'student.pth', seed=5)
    flips = [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)]
    results = []
    for model in (cfg, distilled(cfg, cfg, 'none.pth')):
        run = classification_run(model, tmp_path, tmp_path / 'run', load_from=ckpt)
        run.update(
            test_dataloader=copy.deepcopy(run['train_dataloader']),
            test_cfg=dict(),
            test_evaluator=dict(type='Accuracy'),
            tta_model=dict(type='AverageClsScoreTTA'),
            tta_pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='TestTimeAug', transforms=[flips, [dict(type='PackInputs')]]),
            ],
        )
        results.append(build_runner_with_tta(Config(run)).test())
    assert results[0] == results[1] and results[0]['accuracy/top1'] > 0


def test_upstreams_apis_take_a_distillation(tmp_path):
    """mmdet's init_detector looks for a backbone in the config, unless it is given
    options, if only an empty dict; see docs/user_guide.md."""
    from mmdet.apis import inference_detector, init_detector
    from mmpretrain import FeatureExtractor, ImageClassificationInferencer

    cfg = faster_rcnn(test_cfg=dict(rcnn=dict(score_thr=0.0, max_per_img=5)))
    ckpt = save_weights(cfg, tmp_path / 'student.pth', dataset_meta=dict(classes='abc'))
    image = np.random.RandomState(0).randint(0, 256, (96, 128, 3), dtype=np.uint8)
    found = []
    for model in (load_model_cfg(cfg, 'model'), distilled(cfg, cfg, 'none.pth')):
        run = detection_run(model, tmp_path, tmp_path / 'run')
        pipeline = run['test_dataloader']['dataset']['pipeline']
        pipeline[:] = [step for step in pipeline if step['type'] != 'LoadAnnotations']
        detector = init_detector(Config(run), ckpt, device='cpu', cfg_options={})
        found.append(inference_detector(detector, image).pred_instances)
    assert len(found[0]) == 5
    assert equal(dict(found[0].items()), dict(found[1].items()))

    cfg = classifier()
    ckpt = save_weights(cfg, tmp_path / 'c.pth', dataset_meta=dict(classes='abcde'))
    found = []
    for model in (cfg, distilled(cfg, cfg, 'none.pth')):
        run = classification_run(model, tmp_path, tmp_path / 'run')
        run['test_dataloader'] = run['train_dataloader']
        path = tmp_path / 'config.py'
        Config(run).dump(path)
        made = dict(model=str(path), pretrained=ckpt, device='cpu')
        features = FeatureExtractor(**made)(image, stage='neck')
        labels = ImageClassificationInferencer(**made)(image)
        found.append((features, labels[0]['pred_scores'].tolist()))
    assert equal(*found)


@pytest.mark.parametrize(
    ('model', 'old', 'new'),
    [
        (faster_rcnn(), 'bbox_head.', 'rpn_head.'),  # of an RPN trained alone
        (dense('retinanet'), 'rpn_head.', 'bbox_head.'),
    ],
)
def test_weights_of_another_detector_get_the_names_of_the_students(
    model, old, new, tmp_path
):
    """By what upstream's class does with a checkpoint of its own."""
    weights = build(model, seed=3).state_dict()
    renamed = {
        old + name[len(new) :] if name.startswith(new) else name: value
        for name, value in weights.items()
        if not name.startswith('roi_head')
    }
    torch.save(dict(state_dict=renamed), tmp_path / 'other.pth')
    ckpt = save_weights(model, tmp_path / 'teacher.pth', seed=1)
    distilled, plain = distiller(model, model, ckpt), build(model, seed=4)
    for each in (distilled, plain):
        mmengine_load_checkpoint(each, str(tmp_path / 'other.pth'))
    for name, value in plain.state_dict().items():
        if name.startswith(new):
            assert torch.equal(value, weights[name])
            assert torch.equal(distilled.student.state_dict()[name], value), name


def test_steps_of_a_students_own_are_told(monkeypatch):
    class OwnSteps(ImageClassifier):
        def parse_losses(self, losses):
            return super().parse_losses(losses)

    told = []
    monkeypatch.setattr(
        base_distiller, 'print_log', lambda text, **kwargs: told.append(text)
    )
    plain = distiller(classifier(), classifier(), 'none.pth')
    assert not told
    base_distiller._warn_of_own_steps(plain.student)
    assert not told
    plain.student.__class__ = OwnSteps
    base_distiller._warn_of_own_steps(plain.student)
    assert 'OwnSteps has its own parse_losses, which do not run' in told[0]
