"""The shipped configs, and what a user writes on top of them."""

import copy
import glob
import os
import os.path as osp
import re
import tarfile
from functools import lru_cache
from types import SimpleNamespace

import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.logging import MessageHub
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
from luminet_mm.config import load_cfg, load_model_cfg
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
# A pair, or a config of one, and a method; what may follow is of the run, as clip_grad
COMBINATION = re.compile(
    r"_base_ = '\./(?P<base>.+)'\n\n(#.+\n)?"
    r'model = (dict\()?(distill_losses=)?(\{\{)?_base_\.(?P<method>\w+)'
)
METHODS = ['kd', 'dkd', 'luminet', 'fitnet', 'at', 'rkd', 'crd', 'ofd', 'reviewkd']
METHODS += ['fcfd', 'dml']
TABLE_1 = [  # with the assistant of TAKD between teacher and student
    ('resnet56', 'resnet32', 'resnet20'),
    ('resnet110', 'resnet56', 'resnet32'),
    ('resnet32x4', 'resnet14x4', 'resnet8x4'),
    ('wrn_40_2', 'wrn_28_2', 'wrn_16_2'),
    ('wrn_40_2', 'wrn_16_2', 'wrn_40_1'),
    ('vgg13', 'vgg11', 'vgg8'),
    ('vgg13', 'vgg8', 'mobilenetv2'),
    ('resnet50', 'resnet18', 'mobilenetv2'),
    ('resnet32x4', 'resnet14x4', 'shufflenetv1'),
    ('resnet32x4', 'resnet14x4', 'shufflenetv2'),
    ('wrn_40_2', 'wrn_16_2', 'shufflenetv1'),
]


def text_of(name):
    with open(osp.join(ROOT, 'configs', name)) as file:
        return file.read()


def combination(name):
    """The pair's config and the method that a config joins, None of another one."""
    found = COMBINATION.match(text_of(name))
    if not found:
        return None
    base = osp.join(osp.dirname(name), found['base'])
    pair = base if '/pairs/' in base else combination(base)[0]
    return pair, found['method']


PAIRS = sorted(
    osp.relpath(path, osp.join(ROOT, 'configs'))
    for path in glob.glob(f'{ROOT}/configs/*/pairs/*.py')
)
COMBINATIONS = sorted({*map(combination, CONFIGS)} - {None})
OTHERS = [name for name in CONFIGS if not combination(name)]


@pytest.fixture(scope='module', autouse=True)
def find_bases_once():
    """mmengine reads all indices of a model zoo for each base that is there."""
    with pytest.MonkeyPatch.context() as patch:
        find = lru_cache(maxsize=None)(Config._get_cfg_path)
        patch.setattr(Config, '_get_cfg_path', staticmethod(find))
        yield


@lru_cache(maxsize=None)
def read_plain(name):
    return load_run_cfg(osp.join(ROOT, 'configs', name))


def read(name, **options):
    if options:
        cfg = load_run_cfg(osp.join(ROOT, 'configs', name), options)
    else:
        cfg = copy.deepcopy(read_plain(name))
    init_default_scope(cfg.default_scope)
    return cfg


def join(pair, *methods):
    """What a config of these says, without reading another file."""
    cfg = read(pair)
    model = cfg.model
    for method in methods:
        taken = cfg[method]
        if method == 'dml':
            taken = dict(taken, student=model.student, peers=model.teacher)
        cfg.merge_from_dict(dict(model=taken))
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


def smaller(model):
    """A model that is built sooner and has the same features."""
    if isinstance(model, dict):
        for key, value in model.items():
            if key == 'depth' and value == 101:
                model[key] = 50
            elif key == 'fc_out_channels':
                model[key] = 32
            elif key == 'num_queries':  # there must be as many pixels
                model[key] = 20
            elif key == 'depths':
                model[key] = [1] * len(value)
            else:
                smaller(value)
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
            model = load_model_cfg(cfg, 'model.teacher')
            model = smaller(without_downloads(model))
            known[name] = (model, save_weights(model, folder / f'{len(known)}.pth'))
        return known[name]

    return get


def raw_batch(cfg):
    if cfg.default_scope == 'mmdet':
        masks = 'mask_head' in str(cfg.model)  # RTMDet's loss takes any for its own
        return detection_batch([(64, 64), (60, 50)], masks=masks)
    batch = image_batch(num_images=4)
    for index, sample in enumerate(batch['data_samples']):
        sample.set_metainfo(dict(sample_idx=index))
    return batch


def take_step(cfg, random_teacher):
    model = without_downloads(cfg.model)
    if 'data_preprocessor' in cfg:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    if model.type == 'luminet_mm.LogitDistiller':
        teachers = model.teacher if isinstance(model.teacher, list) else [model.teacher]
        model.teacher, model.teacher_ckpt = zip(*map(random_teacher, teachers))
        student = load_model_cfg(model.student, 'model.student')
        model.student = smaller(without_downloads(student))
    if 'loss_crd' in model.get('distill_losses', ()):
        model.distill_losses.loss_crd.num_samples = 50  # ImageNet's banks fill a GB
    model = MODELS.build(model)
    model.init_weights()
    model.train()
    MessageHub.get_current_instance().update_info('iter', 0)  # YOLOX's batches grow
    batch = model.data_preprocessor(raw_batch(cfg), True)
    loss, log = model.parse_losses(model(**batch, mode='loss'))
    assert loss.isfinite()
    assert all(log[name] > 0 for name in getattr(model, 'distill_losses', ()))
    loss.backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None or not parameter.requires_grad, parameter_name


@pytest.mark.parametrize('name', [c for c in OTHERS if c not in DATA])
def test_takes_a_training_step(name, random_teacher):
    take_step(read(name), random_teacher)


@pytest.mark.parametrize('pair', PAIRS)
def test_pair_takes_a_training_step_with_all_its_methods(pair, random_teacher):
    """With their losses joined."""
    methods = [method for each, method in COMBINATIONS if each == pair]
    methods = [m for m in methods or METHODS if m != 'dml']
    cfg = join(pair, *methods)
    assert len(cfg.model.distill_losses) >= len(methods)
    take_step(cfg, random_teacher)


@pytest.mark.parametrize('method', METHODS)
def test_pair_takes_a_training_step_with_each_method(method, random_teacher):
    take_step(join('cifar100/pairs/resnet56_resnet20.py', method), random_teacher)


@pytest.mark.parametrize('pair', [p for p, m in COMBINATIONS if m == 'dml'])
def test_pair_takes_a_training_step_by_mutual_learning(pair, random_teacher):
    take_step(join(pair, 'dml'), random_teacher)


@pytest.mark.parametrize(('teacher', 'assistant', 'student'), TABLE_1)
def test_table_1_is_complete(teacher, assistant, student):
    pair = f'{teacher}_{student}'
    for method in METHODS:
        joined = combination(f'cifar100/{pair}_{method}.py')
        assert joined == (f'cifar100/pairs/{pair}.py', method)
    assert f'cifar100/{teacher}_{assistant}_{student}_takd.py' in OTHERS


def shapes(model, key):
    model = MODELS.build(load_model_cfg(model, key))
    return {name: value.shape for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    'name',
    [
        n
        for n in OTHERS + PAIRS
        if re.search(r"teacher_ckpt=\[?\s*'work_dirs/[^/]+/[^/]+'", text_of(n))
    ],
)
def test_teacher_is_what_another_config_trains(name):
    """Its checkpoint is the last of the run that its folder is named after."""
    model = read(name).model
    ckpts, teachers = model.teacher_ckpt, model.teacher
    if isinstance(ckpts, str):
        ckpts, teachers = [ckpts], [teachers]
    for ckpt, teacher in zip(ckpts, teachers):
        folder, epoch = osp.split(ckpt)
        path = name.replace('pairs/', '')
        run = read(osp.join(osp.dirname(path), f'{osp.basename(folder)}.py'))
        last = run.train_cfg.get('max_epochs') or run.train_cfg.max_iters
        assert epoch in (f'epoch_{last}.pth', f'iter_{last}.pth')
        trained = run.model.get('student', run.model)
        assert shapes(teacher, 'model.teacher') == shapes(trained, 'model.student')


def test_losses_of_two_methods_join():
    model = read('coco/frcnn_r101_r18_luminet_box_rpn_pkd.py').model
    assert {*model.distill_losses} == {
        'loss_luminet',
        'loss_box',
        'loss_rpn',
        'loss_pkd',
    }
    assert (model.warmup, model.warmup_by_epoch) == (1000, False)


def initialised_parts(model, path=''):
    """Each part that starts from a part of a checkpoint."""
    for key, value in model.items():
        if key == 'init_cfg' and 'prefix' in (value or ()):
            yield path, value
        elif isinstance(value, dict):
            yield from initialised_parts(value, f'{path}{key}.')


@pytest.mark.parametrize('pair', ['frcnn_r101_r50', 'retinanet_r101_r50'])
@pytest.mark.parametrize('method', ['fgd', 'mgd'])
def test_neck_and_heads_start_from_the_teachers(pair, method):
    model = join(f'coco/pairs/{pair}.py', method).model
    zoo = load_cfg(model.teacher.cfg_path, 'model.teacher.cfg_path', pretrained=True)
    teacher = shapes(model.teacher, 'model.teacher')
    student = shapes(model.student, 'model.student')
    started = []
    for path, init_cfg in initialised_parts(model.student):
        assert (init_cfg.prefix, init_cfg.checkpoint) == (path, zoo.model_path)
        started += [name for name in student if name.startswith(path)]
    assert all(student[name] == teacher[name] for name in started)
    assert {*student} - {*started} == {n for n in student if n.startswith('backbone.')}


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
    for name in OTHERS + PAIRS:
        cfg = read(name)
        hook = cfg.default_hooks.checkpoint.type
        safe = hook == 'luminet_mm.SafeCheckpointHook'
        assert safe == ('luminet_mm.' in str(cfg.to_dict())), name
