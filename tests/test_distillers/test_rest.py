"""What follows a stage is run as the model runs it."""

import copy
import os.path as osp

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from test_tools import ROOT
from torch import nn

from luminet_mm.config import load_model_cfg
from luminet_mm.distillers.acceleration import accelerate
from luminet_mm.distillers.rest import Rest
from luminet_mm.distillers.stages import find_stages
from luminet_mm.registry import MODELS

CONFIGS = [
    'cifar100/resnet8x4',
    'cifar100/wrn_16_1',
    'cifar100/vgg8',
    'cifar100/resnet18_cifar',
    'cifar100/mobilenetv2_cifar',
    'cifar100/shufflenetv1_cifar',
    'cifar100/shufflenetv2_cifar',
    'imagenet/mobilenetv1_in1k',
    'mmpretrain::resnet/resnet18_8xb32_in1k.py',
    'mmpretrain::resnet/resnet50_8xb16_cifar100.py',
]


def build(name, **backbone):
    init_default_scope('mmpretrain')
    path = name if '::' in name else osp.join(ROOT, 'configs', f'{name}.py')
    torch.manual_seed(0)
    model = MODELS.build(
        load_model_cfg(dict(cfg_path=path, backbone=backbone), 'model')
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # as if trained
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return model


def stages_of(model):
    return [f'backbone.{stage.output}' for stage in find_stages(model.backbone)]


def run(model, stages, size=32):
    """Features of the stages and the logits of a run of the whole model."""
    feats, handles = {}, []
    for stage in stages:
        handles.append(
            model.get_submodule(stage).register_forward_hook(
                lambda module, args, out, stage=stage: feats.update({stage: out})
            )
        )
    logits = model(torch.randn(2, 3, size, size))
    for handle in handles:
        handle.remove()
    return [feats[stage] for stage in stages], logits


@pytest.mark.parametrize('name', CONFIGS)
def test_gives_the_models_own_logits(name):
    model = build(name).eval()
    stages = stages_of(model)
    rest = Rest(model, stages)
    feats, logits = run(model, stages)
    for index, feat in enumerate(feats):
        assert torch.equal(rest(index, feat), logits)
        *later, last = rest.features(index, feat)
        assert torch.equal(last, logits)
        assert len(later) == len(feats) - index - 1
        assert all(map(torch.equal, later, feats[index + 1 :]))


@pytest.mark.parametrize('name', ['cifar100/resnet8x4', 'cifar100/wrn_16_1'])
def test_of_an_accelerated_teacher(name):
    model = build(name).eval().requires_grad_(False)
    faster = accelerate(model, channels_last=True)
    stages = stages_of(model)
    feats, logits = run(faster, stages)
    rest = Rest(faster, stages)
    for index, feat in enumerate(feats):
        torch.testing.assert_close(rest(index, feat), logits)


def test_where_the_backbone_hands_out_several_or_leaves_the_last_out():
    stages = ['backbone.layer1', 'backbone.layer2']
    for out_indices in [(0, 1, 2), (1,)]:
        model = build('cifar100/resnet8x4', out_indices=out_indices).eval()
        if out_indices == (1,):
            model.head.fc = nn.Linear(128, 100)
        feats, logits = run(model, stages)
        for index, feat in enumerate(feats):
            assert torch.equal(Rest(model, stages)(index, feat), logits)


def test_trains_without_moving_running_statistics():
    """It normalises by the batch, has a gradient, and leaves everything as it was."""
    model = build('cifar100/resnet8x4').train()
    stages = stages_of(model)
    feats, logits = run(model, stages)
    before = copy.deepcopy(model.state_dict())
    rest = Rest(model, stages)
    assert torch.equal(rest(0, feats[0]), logits)
    feat = feats[0].detach().requires_grad_()
    rest(0, feat).square().sum().backward()
    assert feat.grad.any() and model.backbone.layer3[0].conv1.weight.grad.any()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    run(model, stages)  # the model's own features move them
    norm = model.backbone.layer3[0].norm1
    assert norm.num_batches_tracked == 2
    assert not torch.equal(
        norm.running_mean, before['backbone.layer3.0.bn1.running_mean']
    )


def test_follows_frozen_batch_normalisation():
    model = build('cifar100/wrn_16_1', norm_eval=True).train()
    stages = stages_of(model)
    feats, logits = run(model, stages)
    assert torch.equal(Rest(model, stages)(1, feats[1]), logits)
    assert not model.backbone.layer3[0].norm1.training


def test_gradient_flows_through_a_frozen_model():
    model = build('cifar100/vgg8').eval().requires_grad_(False)
    stages = stages_of(model)
    feat = torch.randn(2, 128, 16, 16, requires_grad=True)
    Rest(model, stages)(0, feat).sum().backward()
    assert feat.grad.any()
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ('stages', 'message'),
    [
        (['backbone.conv1'], "'backbone.conv1' is no layer of CIFARVGG.*layer1"),
        (['backbone.layer2.0'], "'backbone.layer2.0' is no layer"),
        (['backbone.layer3', 'backbone.layer2'], 'in the order'),
        (['backbone.layer2'] * 2, 'each once'),
    ],
)
def test_refuses_stages(stages, message):
    with pytest.raises(ValueError, match=message):
        Rest(build('cifar100/vgg8'), stages)


def test_refuses_other_models():
    model = build('cifar100/vgg8')
    model.head = None
    with pytest.raises(ValueError, match='that have a head'):
        Rest(model, ['backbone.layer2'])
    model = build('mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py')
    with pytest.raises(ValueError, match='this ImageClassifier has MobileNetV2: take'):
        Rest(model, ['backbone.layer2'])


def test_refuses_gradient_checkpointing():
    """Whose second run, in backward, would move the running statistics."""
    with pytest.raises(ValueError, match='with_cp=True'):
        Rest(build('cifar100/resnet8x4', with_cp=True), ['backbone.layer2'])
    model = build('cifar100/resnet8x4')
    turn_on_activation_checkpointing(model, ['backbone.layer3'])
    with pytest.raises(ValueError, match='activation_checkpointing'):
        Rest(model, ['backbone.layer2'])


def test_refuses_running_statistics_that_would_move():
    """As of mmcv's SyncBatchNorm, which is no batch normalisation of torch."""
    model = build('cifar100/resnet8x4')
    model.backbone.layer3[0].conv1 = nn.Sequential(
        model.backbone.layer3[0].conv1, nn.InstanceNorm2d(256, track_running_stats=True)
    )
    with pytest.raises(ValueError, match="InstanceNorm2d of torch.*sync_bn='torch'"):
        Rest(model, ['backbone.layer2'])
