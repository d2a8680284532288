"""FCFD against the same with explicit halves of two small models."""

import copy
import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from mmpretrain.models import ImageClassifier
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from luminet_mm.distillers.rest import Rest
from luminet_mm.losses import FCFDLoss
from luminet_mm.models.backbones.staged_backbone import StagedBackbone

STAGES = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3']
NUM_CLASSES = 5


def layer(channels, channels_out, stride):
    return nn.Sequential(
        nn.Conv2d(channels, channels_out, 3, stride, 1),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def classifier(widths, strides):
    layers = [layer(*each) for each in zip((4, *widths[:-1]), widths, strides)]
    return ImageClassifier(
        backbone=StagedBackbone(nn.Conv2d(3, 4, 1), layers),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead', in_channels=widths[-1], num_classes=NUM_CLASSES
        ),
    ).double()


def setting(**settings):
    """Student, teacher, and the loss between them."""
    torch.manual_seed(0)
    student = classifier((6, 8, 10), (1, 2, 2)).train()
    teacher = classifier((5, 7, 9), (1, 2, 1)).eval().requires_grad_(False)
    for module in teacher.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
    loss = FCFDLoss(**settings)
    loss.connect(
        [(1, 6, 8, 8), (1, 8, 4, 4), (1, 10, 2, 2)],
        [(1, 5, 8, 8), (1, 7, 4, 4), (1, 9, 4, 4)],
    )
    return student, teacher, loss.double()


def features(model, images):
    x, feats = model.backbone.conv1(images), []
    for stage in STAGES:
        x = model.get_submodule(stage)(x)
        feats.append(x)
    return feats


def run(student, teacher, loss, images):
    rests = tuple(Rest(model, STAGES) for model in (student, teacher))
    feats_S, feats_T = (features(model, images) for model in (student, teacher))
    return loss(feats_S, feats_T, rests=rests)


def head(model, x):
    return model.head.fc(x.mean(dim=(2, 3)))


def naive(student, teacher, loss, images, paths):
    """The loss with each half of a path written out."""
    feats_S, feats_T = (features(model, images) for model in (student, teacher))
    logits_T = head(teacher, feats_T[-1])

    def squares(got, stage):
        value = ((got - feats_T[stage]) ** 2).mean()
        if stage == 2:
            pooled = got.clamp(min=0).mean((2, 3)), feats_T[stage].mean((2, 3))
            value = value + ((pooled[0] - pooled[1]) ** 2).mean()
        return value

    bridged = [bridge(feat) for bridge, feat in zip(loss.to_T, feats_S)]
    appearance = sum(squares(feat, stage) for stage, feat in enumerate(bridged))
    function = 0
    for stage, from_S in paths:
        if from_S:
            model, x = teacher, bridged[stage]
        else:
            model, x = student, loss.to_S[stage](feats_T[stage])
        for later in range(stage + 1, 3):
            x = model.get_submodule(STAGES[later])(x)
            if from_S:
                appearance = appearance + squares(x, later)
        log_p = F.log_softmax(head(model, x) / loss.tau, dim=1)
        log_p_T = F.log_softmax(logits_T / loss.tau, dim=1)
        divergence = (log_p_T.exp() * (log_p_T - log_p)).sum(dim=1).mean()
        function = function + loss.tau**2 * divergence
    return loss.loss_weight * (loss.appearance_weight * appearance + function)


PATHS = [[(0, True), (1, False)], [(1, True), (0, False)], [(0, True), (1, True)]]


@pytest.mark.parametrize('paths', PATHS)
def test_is_the_naive_one(paths, monkeypatch):
    """Value and gradients; the teacher has none."""
    student, teacher, loss = setting(tau=3.0, appearance_weight=0.7, loss_weight=2.0)
    monkeypatch.setattr(loss, 'draw', lambda: paths)
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    same_S, same = copy.deepcopy(student), copy.deepcopy(loss)
    value = run(student, teacher, loss, images)
    expected = naive(same_S, teacher, same, images, paths)
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    for model, other in ((student, same_S), (loss, same)):
        for (name, got), parameter in zip(model.named_parameters(), other.parameters()):
            if parameter.grad is None:  # of the bridges that were not drawn
                assert got.grad is None or not got.grad.any(), name
            else:
                torch.testing.assert_close(got.grad, parameter.grad, msg=name)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_each_part_of_the_student_and_each_bridge_learns():
    student, teacher, loss = setting(num_paths=4)
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    run(student, teacher, loss, images).backward()
    for model in (student, loss):
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.any(), name


def test_statistics_are_those_of_the_students_own_features():
    student, teacher, loss = setting(num_paths=4)
    before = copy.deepcopy(teacher.state_dict())
    alone = copy.deepcopy(student)
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    run(student, teacher, loss, images)
    features(alone, images)
    for model, expected in ((student, alone.state_dict()), (teacher, before)):
        for name, value in model.state_dict().items():
            assert torch.equal(value, expected[name]), name


def test_draws_all_paths_alike_and_none_twice_a_step():
    *_, loss = setting()
    torch.manual_seed(0)
    steps = [loss.draw() for _ in range(2000)]
    assert all(len(set(paths)) == 2 for paths in steps)
    drawn = [path for paths in steps for path in paths]
    for path in [(0, True), (0, False), (1, True), (1, False)]:
        assert drawn.count(path) / len(drawn) == pytest.approx(0.25, abs=0.02)
    torch.manual_seed(0)
    assert steps[:5] == [loss.draw() for _ in range(5)]


@pytest.mark.parametrize('rectified', [(True, False), (False, True)])
def test_bridges_fit_sizes_and_end_as_the_maps_they_make(rectified):
    *_, loss = setting(rectified=rectified)
    sizes = [(bridge[0].kernel_size[0], bridge[0].stride[0]) for bridge in loss.to_T]
    assert sizes == [(3, 1), (3, 1), (4, 2)]
    for bridges, into in ((loss.to_S, rectified[0]), (loss.to_T, rectified[1])):
        for bridge in bridges:
            assert isinstance(bridge[-1], nn.LeakyReLU if into else nn.BatchNorm2d)
    loss = FCFDLoss()
    loss.connect([(1, 4, 8, 8), (1, 4, 4, 4)], [(1, 6, 4, 4), (1, 6, 2, 2)])
    for shape in [(2, 4, 8, 8), (2, 4, 14, 10)]:  # also images of another size
        there = loss.to_T[0](torch.randn(shape))
        assert there.shape == (2, 6, shape[2] // 2, shape[3] // 2)
        assert loss.to_S[0](there).shape == shape


class Step(nn.Module):
    """What DistributedDataParallel wraps: the student and the bridges."""

    def __init__(self):
        super().__init__()
        self.student, teacher, self.loss = setting(num_paths=1)
        self.teacher = [teacher]

    def forward(self, images):
        return run(self.student, self.teacher[0], self.loss, images)


def process(rank, file, out):
    dist.init_process_group('gloo', f'file://{file}', rank=rank, world_size=2)
    model = Step()
    wrapped = DistributedDataParallel(model)
    sgd = torch.optim.SGD(wrapped.parameters(), lr=0.01)
    torch.manual_seed(rank)  # as if each process had drawn other numbers
    paths = []
    draw = model.loss.draw
    model.loss.draw = lambda: paths.append(draw()) or paths[-1]
    for _ in range(6):
        loss = wrapped(torch.randn(2 + rank, 3, 8, 8, dtype=torch.float64))
        # the classifier learns from the labels, too, on no matter which path
        loss = loss + 0 * sum(each.sum() for each in model.student.head.parameters())
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    torch.save((paths, list(model.parameters())), out / str(rank))
    dist.barrier()  # leave together: gloo may wait for a peer that is gone
    os._exit(0)  # at once, as in test_sync_stats.py


def test_processes_draw_the_same_and_wait_for_no_bridge(tmp_path):
    mp.spawn(process, (tmp_path / 'store', tmp_path), nprocs=2)
    (paths, parameters), (others, their) = (
        torch.load(tmp_path / str(rank)) for rank in range(2)
    )
    assert paths == others and len(set(map(tuple, paths))) > 1
    for got, parameter in zip(parameters, their):
        assert torch.equal(got, parameter)


@pytest.mark.parametrize(
    ('settings', 'shapes', 'message'),
    [
        ({}, [[(1, 4, 8, 8)]] * 2, 'layers=.*two stages or more'),
        (
            dict(num_paths=3),
            [[(1, 4, 8, 8), (1, 4, 4, 4)]] * 2,
            'num_paths=3: 2 stages have 2 mixed paths',
        ),
        (
            {},
            [[(1, 4, 8, 8), (1, 4, 4, 4)], [(1, 4, 8, 8), (1, 4, 3, 3)]],
            r'layers=.*equal, half or twice .* \(1, 4, 4, 4\) and \(1, 4, 3, 3\)',
        ),
    ],
)
def test_refuses_shapes(settings, shapes, message):
    with pytest.raises(ValueError, match=message):
        FCFDLoss(**settings).connect(*shapes)


@pytest.mark.parametrize(
    ('name', 'wrong'),
    [
        ('tau', 0),
        ('appearance_weight', -1),
        ('rectified', True),
        ('rectified', (True,)),
        ('rectified', (True, 1)),
        ('num_paths', 0),
    ],
)
def test_refuses_settings(name, wrong):
    with pytest.raises((TypeError, ValueError), match=f'FCFDLoss.{name}='):
        FCFDLoss(**{name: wrong})
