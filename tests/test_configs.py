"""The shipped configs, and what a user writes on top of them."""

import glob
import os
import os.path as osp
import re
import tarfile
from types import SimpleNamespace

import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from test_tools import ROOT, UPSTREAM, dump, tool, weights
from tiny import (
    build,
    detection_batch,
    detection_run,
    distilled,
    faster_rcnn,
    image_batch,
    save_weights,
)

import luminet_mm  # noqa: F401
from luminet_mm.cfg_options import load_run_cfg
from luminet_mm.config import load_model_cfg
from luminet_mm.distillers import teacher as teacher_module
from luminet_mm.registry import MODELS

CONFIGS = sorted(
    osp.relpath(path, osp.join(ROOT, 'configs'))
    for path in glob.glob(f'{ROOT}/configs/[!_]*/*.py')
)
DATA = {
    'coco_format/coco_format_data.py',
    'demo/digits.py',
    'image_folder/folder_data.py',
}


def read(name, **options):
    cfg = load_run_cfg(osp.join(ROOT, 'configs', name), options)
    init_default_scope(cfg.default_scope)
    return cfg


def without_downloads(model):
    """The same model from random weights."""
    if isinstance(model, dict):
        for key, value in model.items():
            if key == 'init_cfg' and 'checkpoint' in str(value):
                model[key] = None
            else:
                without_downloads(value)
    return model


def test_names_are_unique():
    """mim finds a config by its base name alone."""
    names = [
        osp.basename(p) for p in glob.glob(f'{ROOT}/configs/**/*.py', recursive=True)
    ]
    assert len(names) == len(set(names))


@pytest.fixture(scope='module')
def random_teacher(tmp_path_factory):
    """Gives (model config, checkpoint of random weights) of a teacher."""
    folder, known = tmp_path_factory.mktemp('teachers'), {}

    def get(cfg):
        name = cfg.cfg_path
        if name not in known:
            model = without_downloads(load_model_cfg(cfg, 'model.teacher'))
            known[name] = (model, save_weights(model, folder / f'{len(known)}.pth'))
        return known[name]

    return get


def raw_batch(cfg):
    if cfg.default_scope == 'mmdet':
        return detection_batch([(64, 64), (60, 50)], masks=True)
    return image_batch(num_images=4)


@pytest.mark.parametrize('name', [c for c in CONFIGS if c not in DATA])
def test_takes_a_training_step(name, random_teacher):
    cfg = read(name)
    model = without_downloads(cfg.model)
    if 'data_preprocessor' in cfg:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    if model.type == 'luminet_mm.LogitDistiller':
        teachers = model.teacher if isinstance(model.teacher, list) else [model.teacher]
        model.teacher, model.teacher_ckpt = zip(*map(random_teacher, teachers))
        student = load_model_cfg(model.student, 'model.student')
        model.student = without_downloads(student)
    model = MODELS.build(model)
    model.init_weights()
    model.train()
    batch = model.data_preprocessor(raw_batch(cfg), True)
    loss, log = model.parse_losses(model(**batch, mode='loss'))
    assert loss.isfinite()
    assert all(log[name] > 0 for name in getattr(model, 'distill_losses', ()))
    loss.backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None or not parameter.requires_grad, parameter_name


@pytest.fixture
def zoo_weights(monkeypatch):
    """Random weights for whatever the model zoo is asked for, which is recorded."""
    asked = []

    def read_weights(ckpt, key):
        asked.append(ckpt)
        model = load_model_cfg(zoo_weights.teacher, 'model.teacher')
        return dict(state_dict=MODELS.build(model).state_dict())

    zoo_weights = SimpleNamespace(asked=asked, teacher=None)
    monkeypatch.setattr(teacher_module, 'read_checkpoint', read_weights)
    return zoo_weights


def test_names_a_new_pair_in_three_lines(tmp_path, zoo_weights):
    """The README's example; the teacher's weights are the model zoo's."""
    path = tmp_path / 'x101_r50.py'
    path.write_text(f"""
_base_ = '{ROOT}/configs/coco/frcnn_r101_r18_luminet.py'
zoo = 'mmdet::faster_rcnn/faster-rcnn_'
model = dict(
    student=dict(_delete_=True, cfg_path=zoo + 'r50_fpn_1x_coco.py'),
    teacher=dict(_delete_=True, cfg_path=zoo + 'x101-32x4d_fpn_1x_coco.py'))
""")
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    zoo_weights.teacher = cfg.model.teacher
    model = MODELS.build(cfg.model)
    (teacher,) = model.build_teachers()
    assert model.student.backbone.depth == 50
    assert teacher.model.backbone.depth == 101
    assert type(teacher.model.backbone).__name__ == 'ResNeXt'
    assert 'faster_rcnn_x101_32x4d_fpn_1x_coco' in zoo_weights.asked[0]
    assert zoo_weights.asked[0].endswith('.pth')


@pytest.mark.parametrize(
    ('student', 'teacher'),
    [
        ('mobilenet_v2/mobilenet-v2_8xb32_in1k', 'convnext/convnext-tiny_32xb128_in1k'),
        ('deit/deit-tiny_4xb256_in1k', 'swin_transformer/swin-tiny_16xb64_in1k'),
    ],
)
def test_any_pair_of_mmpretrains_zoo(student, teacher, tmp_path, zoo_weights):
    path = tmp_path / 'pair.py'
    path.write_text(f"""
_base_ = '{ROOT}/configs/imagenet/resnet34_resnet18_luminet_8xb64_in1k.py'
model = dict(
    student=dict(cfg_path='mmpretrain::{student}.py'),
    teacher=dict(cfg_path='mmpretrain::{teacher}.py'))
""")
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    zoo_weights.teacher = cfg.model.teacher
    model = MODELS.build(cfg.model)
    model.init_weights()
    batch = image_batch(num_images=2, num_classes=1000, size=224)
    losses = model.loss(**model.data_preprocessor(batch, True))
    assert losses['loss_luminet'] > 0
    model.parse_losses(losses)[0].backward()
    assert zoo_weights.asked[0].endswith('.pth')


def test_cfg_options_reach_what_a_user_changes():
    options = {
        'model.distill_losses.loss_luminet.tau': 2.0,
        'model.distill_losses.loss_luminet.loss_weight': 4.0,
        'model.warmup': 7,
        'model.teacher_ckpt': 'teacher.pth',
        'data_root': 'elsewhere/coco',
    }
    cfg = read('coco/frcnn_r101_r18_luminet.py', **options)
    without_downloads(cfg.model)
    model = MODELS.build(cfg.model)
    loss = model.distill_losses['loss_luminet']
    assert (loss.tau, loss.loss_weight, model.warmup) == (2.0, 4.0, 7)
    assert model._teacher_cfgs[0][1] == 'teacher.pth'
    assert 'data/coco' not in cfg.pretty_text
    assert cfg.train_dataloader.dataset.data_root == 'elsewhere/coco/'
    annotations = 'elsewhere/coco/annotations/instances_val2017.json'
    assert cfg.test_evaluator.ann_file == annotations


def test_teacher_of_the_main_job_sees_caffes_pixels():
    """mmdet 3's config of this teacher feeds its caffe weights RGB in unit
    variance; ours says what the weights were trained on."""
    teacher = load_model_cfg(
        read('coco/frcnn_r101_r18_luminet.py').model.teacher, 'model.teacher'
    )
    assert teacher.backbone.style == 'caffe'
    assert teacher.data_preprocessor.mean == [103.53, 116.28, 123.675]
    assert teacher.data_preprocessor.std == [1.0, 1.0, 1.0]
    assert teacher.data_preprocessor.bgr_to_rgb is False


def test_schedule_is_the_papers():
    cfg = read('coco/frcnn_r101_r18_luminet.py')
    assert cfg.train_cfg.max_iters == 180000
    assert cfg.param_scheduler[1].milestones == [120000, 160000]
    assert cfg.optim_wrapper.optimizer.lr == 0.01
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size


IMAGENET = {
    'resnet34_resnet18_luminet_8xb64_in1k': (512, 0.2),
    'resnet34_resnet18_kd_8xb64_in1k': (512, 0.2),
    'resnet34_resnet18_dkd_8xb64_in1k': (512, 0.2),
    'resnet50_mobilenetv1_luminet_4xb64_in1k': (256, 0.1),
    'resnet50_mobilenetv1_kd_8xb64_in1k': (512, 0.2),
    'resnet50_mobilenetv1_dkd_8xb64_in1k': (512, 0.2),
}


@pytest.mark.parametrize('name', IMAGENET)
def test_imagenet_is_trained_as_published(name):
    cfg = read(f'imagenet/{name}.py')
    batch_size, lr = IMAGENET[name]
    num_gpus = int(re.search(r'_(\d)xb64_', name)[1])
    assert num_gpus * cfg.train_dataloader.batch_size == batch_size
    assert cfg.auto_scale_lr.base_batch_size == batch_size
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr) == ('SGD', lr)
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 1e-4)
    assert cfg.train_cfg.max_epochs == 100
    assert cfg.param_scheduler.milestones == [30, 60, 90]
    for loss in cfg.model.distill_losses.values():
        # LumiNet's statistics are those of the whole batch
        assert loss.get('sync_stats', False) == ('Luminet' in loss.type)


def test_imagenets_resnet_starts_as_the_authors():
    """Theirs is torchvision's."""
    cfg = read('imagenet/resnet34_resnet18_luminet_8xb64_in1k.py')
    model = MODELS.build(load_model_cfg(cfg.model.student, 'model.student'))
    model.init_weights()
    model.requires_grad_(False)
    expected = dict(torchvision.models.resnet18().named_parameters())
    for name, parameter in model.named_parameters():
        like = expected.pop(name.replace('backbone.', '').replace('head.', ''))
        assert parameter.shape == like.shape
        if like.std() == 0:  # of a normalisation
            assert torch.equal(parameter, like), name
        else:
            tolerance = 5 / like.numel() ** 0.5
            assert parameter.mean().abs() < tolerance * like.std(), name
            assert (parameter.std() / like.std() - 1).abs() < tolerance, name
    assert not expected
    # uniform, as torch initialises it
    assert model.head.fc.weight.abs().max() <= 512**-0.5
    assert model.head.fc.bias.abs().max() > 0.9 * 512**-0.5


def test_upstreams_train_tool_runs_it_from_any_folder(tmp_path):
    """What `mim train mmdet CONFIG` calls; nothing imports luminet_mm but the
    scope in the config's types."""
    ckpt = save_weights(faster_rcnn(), tmp_path / 'teacher.pth')
    model = distilled(faster_rcnn(), faster_rcnn(), ckpt)
    cfg = detection_run(model, tmp_path / 'data', tmp_path / 'run', max_epochs=1)
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    tool(f'{UPSTREAM}/train.py', dump(cfg, tmp_path / 'config.py'), cwd=elsewhere)
    build(faster_rcnn()).load_state_dict(weights(tmp_path / 'run'), strict=True)


if 'LUMINET_DATA' in os.environ:

    @pytest.mark.parametrize(('split', 'boxes'), [('train', 929), ('val', 898)])
    def test_reads_real_coco(split, boxes):
        data_root = f'{os.environ["LUMINET_DATA"]}/coco128'
        cfg = read('coco/frcnn_r101_r18_luminet.py', data_root=data_root)
        cfg.train_dataloader.dataset.filter_cfg = None
        loader = Runner.build_dataloader(cfg[f'{split}_dataloader'], seed=0)
        assert len(loader.dataset) == 128
        assert len(loader.dataset.metainfo['classes']) == 80
        found = sum(
            len(loader.dataset.get_data_info(i)['instances']) for i in range(128)
        )
        assert found == boxes
        sample = loader.dataset[0]
        assert sample['inputs'].dtype == torch.uint8

    def test_reads_real_tiny_imagenet(tmp_path):
        """The validation half of the archive, 50 images of each of 100 classes."""
        name = 'tiny-imagenet-32-a'
        with tarfile.open(f'{os.environ["LUMINET_DATA"]}/{name}.tar.gz') as archive:
            archive.extractall(
                tmp_path, [m for m in archive if m.name.startswith(f'{name}/val')]
            )
        data_root = str(tmp_path / name)
        cfg = read('tinyimagenet/resnet20_tin32.py', data_root=data_root)
        loader = Runner.build_dataloader(cfg.val_dataloader, seed=0)
        assert len(loader.dataset) == 5000
        assert len(loader.dataset.metainfo['classes']) == 100
        batch = next(iter(loader))
        assert batch['inputs'].shape == (256, 3, 32, 32)
        labels = [sample.gt_label.item() for sample in batch['data_samples']]
        assert labels == [index // 50 for index in range(256)]


def test_checkpoints_are_safe():
    """Wherever a config names this project; one that does not runs without it."""
    for name in CONFIGS:
        cfg = read(name)
        hook = cfg.default_hooks.checkpoint.type
        safe = hook == 'luminet_mm.SafeCheckpointHook'
        assert safe == ('luminet_mm.' in str(cfg.to_dict())), name
