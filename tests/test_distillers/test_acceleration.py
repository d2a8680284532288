"""A faster teacher: the same logits, or the teacher as it is."""

import copy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from mmpretrain.models.classifiers import BaseClassifier
from tiny import (
    build,
    cascade_rcnn,
    classifier,
    dense,
    detection_batch,
    distiller,
    faster_rcnn,
    image_batch,
    save_weights,
)
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from luminet_mm.distillers import stopwatch
from luminet_mm.distillers.acceleration import accelerate, fastest
from luminet_mm.distillers.teacher import Teacher
from luminet_mm.registry import MODELS

BATCHES = {'mmdet': detection_batch, 'mmpretrain': image_batch}
FAMILIES = [
    (classifier(), {}),
    (faster_rcnn(), {}),
    (cascade_rcnn(), dict(teacher_stage=1)),
    (dense('retinanet'), dict(type='DenseSource', rows='assigned')),
    (dense('fcos'), dict(type='DenseSource', num_rows=50)),
]


@MODELS.register_module()
class NormBeforeConv(nn.Module):
    """Names its layers in another order than it runs them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.last = nn.Conv2d(3, 64, 3)

    def forward(self, images):
        return (self.last(torch.relu(self.conv(self.norm(images)))),)


@MODELS.register_module()
class ByMemory(nn.Module):
    """Reads its input as it lies in memory, as an operator of its own may."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 3)

    def forward(self, images):
        maps = self.conv(images)
        return (maps.as_strided(maps.shape, torch.empty(maps.shape).stride()),)


@MODELS.register_module()
class WrappedClassifier(BaseClassifier):
    """A network of another library, as mmpretrain wraps it: no backbone, no neck."""

    def __init__(self, data_preprocessor):
        super().__init__(data_preprocessor=data_preprocessor)
        self.model = nn.Sequential(nn.Flatten(), nn.LazyLinear(5))
        self.model(torch.zeros(1, 3, 32, 32))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.model(inputs)


def losses_and_model(tmp_path, cfg, source=None, teacher=None, **kwargs):
    """Losses of two steps, which the same random numbers choose rows for."""
    teacher = teacher or cfg
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth', seed=1)
    if source:
        kwargs['source'] = {'type': 'TwoStageSource', **source}
    torch.manual_seed(0)
    model = distiller(cfg, teacher, ckpt, **kwargs)
    model.init_weights()
    model.train()
    model.student.eval()  # no running statistics
    torch.manual_seed(0)
    losses = []
    for seed in (0, 1):
        batch = BATCHES[cfg['_scope_']](seed=seed)
        losses.append(model.loss(**model.data_preprocessor(batch, True)))
    return losses, model, torch.rand(1)


@pytest.mark.parametrize(('cfg', 'source'), FAMILIES)
def test_learns_the_same(cfg, source, tmp_path):
    plain, model, drawn = losses_and_model(tmp_path, cfg, source)
    assert _norms(model.teachers[0].model)
    faster, model, drawn_too = losses_and_model(
        tmp_path, cfg, source, accelerate_teacher=True
    )
    teacher = model.teachers[0].model
    assert not _norms(teacher)
    assert teacher.backbone.conv1.weight.is_contiguous(
        memory_format=torch.channels_last
    )
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert _norms(model.student)
    for before, after in zip(plain, faster):
        assert list(before) == list(after)
        for name, loss in before.items():
            torch.testing.assert_close(after[name], loss, rtol=1e-4, atol=1e-5)
    assert drawn == drawn_too


@pytest.mark.parametrize('backbone', [NormBeforeConv, ByMemory])
def test_another_prediction_is_noticed(backbone, tmp_path, monkeypatch):
    cfg = classifier()
    cfg['backbone'] = dict(type=f'luminet_mm.{backbone.__name__}')
    plain, _, _ = losses_and_model(tmp_path, cfg)
    log = []
    monkeypatch.setattr(
        'luminet_mm.distillers.teacher.print_log', lambda text, **_: log.append(text)
    )
    careful, model, _ = losses_and_model(tmp_path, cfg, accelerate_teacher=True)
    if backbone is NormBeforeConv:
        assert "The teacher 'ImageClassifier' runs as it is" in log[0]
        assert _norms(model.teachers[0].model)
    assert model.teachers[0].model.backbone.conv.weight.is_contiguous()
    for before, after in zip(plain, careful):
        assert before['loss_kd'] == after['loss_kd']


def test_a_wrapped_teacher_runs_as_it_is(tmp_path):
    cfg = classifier()
    teacher = dict(
        type='luminet_mm.WrappedClassifier',
        data_preprocessor=cfg['data_preprocessor'],
        _scope_='mmpretrain',
    )
    settings = dict(tmp_path=tmp_path, cfg=cfg, teacher=teacher)
    plain, _, _ = losses_and_model(**settings)
    careful, _, _ = losses_and_model(**settings, accelerate_teacher=True)
    for before, after in zip(plain, careful):
        assert before['loss_kd'] == after['loss_kd']


def test_features_come_in_the_usual_order():
    model = build(faster_rcnn()).eval()
    faster = accelerate(model, channels_last=True)
    images = torch.rand(1, 3, 64, 96)
    inside = []
    faster.backbone.register_forward_hook(lambda m, a, out: inside.extend(out))
    features = faster.extract_feat(images)
    assert not any(each.is_contiguous() for each in inside)
    assert all(each.is_contiguous() for each in features)
    for got, plain in zip(features, model.extract_feat(images)):
        torch.testing.assert_close(got, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('pool_mode', ['avg', 'max'])
def test_rois_are_cut_out_the_same(pool_mode):
    model = build(faster_rcnn()).eval()
    for layer in model.roi_head.bbox_roi_extractor.roi_layers:
        layer.pool_mode = pool_mode
    faster = accelerate(model, channels_last=True)
    features = model.extract_feat(torch.rand(2, 3, 64, 96))
    corners = torch.rand(50, 2) * 90 - 10  # some lie outside of the images
    boxes = torch.cat([corners, corners + 80 * torch.rand(50, 2)], dim=1)
    rois = torch.cat([torch.arange(50)[:, None] % 2, boxes], dim=1)
    heads = model.roi_head, faster.roi_head
    plain, got = (head._bbox_forward(features, rois) for head in heads)
    torch.testing.assert_close(got['bbox_feats'], plain['bbox_feats'])
    uses = [
        [layer.use_torchvision for layer in head.bbox_roi_extractor.roi_layers]
        for head in heads
    ]
    assert not any(uses[0])
    assert all(uses[1]) if pool_mode == 'avg' else not any(uses[1])
    for ours, theirs in zip(*(head.parameters() for head in heads)):
        assert ours is theirs  # not held twice


def test_norms_without_statistics_are_left():
    model = build(classifier()).eval()
    model.backbone.norm_without = nn.BatchNorm2d(3, affine=False)
    before = copy.deepcopy(model.state_dict())
    faster = accelerate(model, channels_last=False)
    assert list(faster.state_dict()) == list(before)


def _norms(model):
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


@pytest.mark.parametrize('option', ['accelerate_teacher', 'compile_teacher'])
def test_features_that_cannot_be_extracted_leave_a_teacher_as_it_is(option, tmp_path):
    """Neither the copy's nor its own: what is asked of it may do without."""
    cfg = classifier()
    ckpt = save_weights(cfg, tmp_path / 'teacher.pth')
    model = distiller(cfg, cfg, ckpt, **{option: True})
    (teacher,) = model.build_teachers()
    own = teacher.model

    def extract_feat(inputs):
        raise RuntimeError('this model has none')

    own.extract_feat = extract_feat
    teacher.accelerate(**model.data_preprocessor(image_batch(), True))
    assert teacher.model is own


def test_it_is_compared_without_tf32(tmp_path, monkeypatch):
    """By its rounding on a GPU no teacher would be taken; then all is as before."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    assert before[0]
    seen, features = [], Teacher._features

    def watched(self, model, inputs):
        seen.append((cudnn.allow_tf32, matmul.allow_tf32))
        return features(self, model, inputs)

    monkeypatch.setattr(Teacher, '_features', watched)
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    model = distiller(classifier(), classifier(), ckpt, accelerate_teacher=True)
    model.init_weights()
    model.loss(**model.data_preprocessor(image_batch(), True))
    assert seen == [(False, False)] * 2
    assert (cudnn.allow_tf32, matmul.allow_tf32) == before


@pytest.mark.parametrize('slow', ['a', 'b'])
def test_the_fastest_is_taken(slow, monkeypatch):
    """Whatever a first run costs, in which libraries choose their algorithms."""
    seconds = {'a': [9, 1, 1, 1, 1, 1], 'b': [1, 1, 1, 1, 1, 1], slow: 6 * [2]}
    left = {name: iter(each) for name, each in seconds.items()}
    runs, passed = [], []
    clock = SimpleNamespace(perf_counter=lambda: float(sum(passed)))
    monkeypatch.setattr(stopwatch, 'time', clock)

    def run(model):
        runs.append(model)
        passed.append(next(left[model]))

    device = torch.device('cpu')
    assert fastest(dict(a='a', b='b'), run, device) == dict(a='b', b='a')[slow]
    assert runs == ['a', 'b'] * 6
    assert fastest(dict(only='one'), run, device) == 'only'
    assert runs == ['a', 'b'] * 6


def test_a_gpu_has_two_to_choose_from(tmp_path, monkeypatch):
    log = []
    monkeypatch.setattr(
        'luminet_mm.distillers.teacher.print_log', lambda text, **_: log.append(text)
    )
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    model = distiller(classifier(), classifier(), ckpt, accelerate_teacher=True)
    model.init_weights()
    (teacher,) = model.teachers
    batch = model.data_preprocessor(image_batch(), True)
    both, _ = teacher._accelerated(batch['inputs'], first_only=False)
    weights = {name: each.backbone.conv1.weight for name, each in both.items()}
    assert list(weights) == ['channels last', 'channels first']
    assert not weights['channels last'].is_contiguous()
    assert weights['channels first'].is_contiguous()
    teacher.accelerate(**batch)
    assert log == [
        "The teacher 'ImageClassifier' runs with its batch normalisation folded into "
        'its convolutions, channels last'
    ]


class TestCompiled:
    @pytest.fixture
    def log(self, monkeypatch):
        log = []
        for module in ('acceleration', 'teacher'):
            monkeypatch.setattr(
                f'luminet_mm.distillers.{module}.print_log',
                lambda text, **_: log.append(text),
            )
        return log

    @pytest.mark.parametrize(('cfg', 'source'), FAMILIES[:2])
    @pytest.mark.parametrize('accelerated', [True, False])
    def test_learns_the_same(self, cfg, source, accelerated, tmp_path, monkeypatch):
        graphs, compile = [], torch.compile

        def backend(graph, inputs):
            graphs.append(graph)
            return graph.forward

        monkeypatch.setattr(torch, 'compile', partial(compile, backend=backend))
        plain, *_ = losses_and_model(tmp_path, cfg, source)
        assert not graphs
        faster, model, _ = losses_and_model(
            tmp_path, cfg, source, accelerate_teacher=accelerated, compile_teacher=True
        )
        assert graphs
        assert bool(_norms(model.teachers[0].model)) != accelerated
        for before, after in zip(plain, faster):
            for name, loss in before.items():
                torch.testing.assert_close(after[name], loss, rtol=1e-4, atol=1e-5)

    def test_a_compiler_that_fails_stops_nothing(self, tmp_path, monkeypatch, log):
        def compile(call):
            raise RuntimeError('no compiler here')

        monkeypatch.setattr(torch, 'compile', compile)
        plain, *_ = losses_and_model(tmp_path, classifier())
        careful, *_ = losses_and_model(tmp_path, classifier(), compile_teacher=True)
        assert [each['loss_kd'] for each in careful] == [e['loss_kd'] for e in plain]
        why = 'is not compiled: RuntimeError: no compiler here'
        assert f'The ResNet_CIFAR of the teacher {why}' in log

    def test_another_prediction_is_noticed(self, tmp_path, monkeypatch, log):
        def compile(call):
            return lambda images: tuple(2 * each for each in call(images))

        monkeypatch.setattr(torch, 'compile', compile)
        plain, *_ = losses_and_model(tmp_path, classifier())
        careful, *_ = losses_and_model(tmp_path, classifier(), compile_teacher=True)
        assert [each['loss_kd'] for each in careful] == [e['loss_kd'] for e in plain]
        assert (
            "The teacher 'ImageClassifier' is not compiled: it then sees something else"
        ) in log
