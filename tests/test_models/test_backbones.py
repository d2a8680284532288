"""What the backbones offer besides their function: stages, freezing, first weights."""

import copy
import os.path as osp

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from test_tools import ROOT
from torch import nn

import luminet_mm  # noqa: F401
from luminet_mm.registry import MODELS

# config: channels and side of each layer's features, at 32 x 32
FEATURES = {
    'cifar100/resnet8x4': [(64, 32), (128, 16), (256, 8)],
    'cifar100/wrn_16_2': [(32, 32), (64, 16), (128, 8), (128, 8)],
    'cifar100/vgg13': [(64, 32), (128, 16), (256, 8), (512, 4), (512, 4)],
    'cifar100/resnet18_cifar': [(64, 32), (128, 16), (256, 8), (512, 4)],
    'cifar100/mobilenetv2_cifar': [
        *[(8, 16), (12, 16), (16, 8), (32, 4), (48, 4), (80, 2), (160, 2), (1280, 2)]
    ],
    'cifar100/shufflenetv1_cifar': [(240, 16), (480, 8), (960, 4)],
    'cifar100/shufflenetv2_cifar': [(116, 16), (232, 8), (464, 4), (1024, 4)],
    'imagenet/mobilenetv1_in1k': [(64, 16), (128, 8), (256, 4), (512, 2), (1024, 1)],
}
OURS = [name for name in FEATURES if 'resnet8' not in name and 'resnet18' not in name]


def model_cfg(name, **backbone):
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(osp.join(ROOT, 'configs', f'{name}.py')).model
    cfg.backbone.update(backbone)
    return cfg


def build(name, **backbone):
    torch.manual_seed(0)
    return MODELS.build(model_cfg(name, **backbone))


def initialised(name, **backbone):
    model = build(name, **backbone)
    model.init_weights()
    return model


@pytest.mark.parametrize('name', FEATURES)
def test_hands_out_every_stage(name):
    shapes = [(2, channels, side, side) for channels, side in FEATURES[name]]
    model = build(name, out_indices=tuple(range(len(shapes)))).eval()
    images = torch.randn(2, 3, 32, 32)
    stages = model.extract_feat(images, stage='backbone')
    assert [tuple(x.shape) for x in stages] == shapes
    pooled = model.extract_feat(images, stage='neck')[-1]
    torch.testing.assert_close(pooled, stages[-1].mean((2, 3)))
    # the default is the last one, what the head takes
    default = build(name)
    default.load_state_dict(model.state_dict(), strict=True)
    (last,) = default.eval().extract_feat(images, stage='backbone')
    torch.testing.assert_close(last, stages[-1])
    torch.testing.assert_close(default(images), model.head.fc(pooled))


@pytest.mark.parametrize('name', FEATURES)
def test_trains_everything(name):
    model = build(name).train()
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize('name', OURS)
def test_freezes_the_first_layers(name):
    """One, or all for a linear probe."""
    layers = len(FEATURES[name])
    for frozen in (1, layers):
        model = build(name, frozen_stages=frozen).train()
        before = copy.deepcopy(model.backbone.state_dict())
        out = model(torch.randn(2, 3, 32, 32))
        assert out.requires_grad
        out.sum().backward()
        prefixes = ('conv1.', *(f'layer{number}.' for number in range(1, frozen + 1)))
        for key, value in model.backbone.state_dict().items():
            if key.startswith(prefixes):
                assert torch.equal(value, before[key]), key
            elif key.endswith('num_batches_tracked'):
                assert value == 1, key
        for key, value in model.backbone.named_parameters():
            assert (value.grad is None) == key.startswith(prefixes), key


def test_keeps_statistics_by_norm_eval():
    model = build('cifar100/wrn_16_2', norm_eval=True).train()
    before = copy.deepcopy(model.state_dict())
    model(torch.randn(2, 3, 32, 32))
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    assert model.backbone.layer1.training
    assert not model.backbone.layer1[0].norm1.training


def test_weights_start_as_the_benchmarks():
    """Its originals initialise nothing in ShuffleNets; mmcv's ConvModule would."""
    for name in ('cifar100/shufflenetv1_cifar', 'cifar100/shufflenetv2_cifar'):
        model = initialised(name)
        convs = [m for m in model.backbone.modules() if isinstance(m, nn.Conv2d)]
        for layer in [*convs, model.head.fc]:
            bound = layer.weight[0].numel() ** -0.5
            assert 0.7 * bound < layer.weight.abs().max() <= bound
    mobile = initialised('cifar100/mobilenetv2_cifar').backbone
    std = mobile.layer8.conv.weight.std().item()
    assert std == pytest.approx((2 / 1280) ** 0.5, rel=0.02)
    head = initialised('cifar100/wrn_16_1').head.fc
    assert 0.115 < head.weight.abs().max() <= 0.125
    assert (head.bias == 0).all()


def test_a_users_initialisation_goes_before():
    init_cfg = dict(type='Constant', val=0.25, layer='Conv2d')
    backbone = initialised('cifar100/shufflenetv1_cifar', init_cfg=init_cfg).backbone
    assert (backbone.layer1[0].conv1.conv.weight == 0.25).all()


def test_mobilenet_v1_is_the_papers():
    model = build('imagenet/mobilenetv1_in1k')
    assert sum(p.numel() for p in model.parameters()) == 4_231_976
    features = model.extract_feat(torch.randn(1, 3, 224, 224), stage='backbone')
    assert features[-1].shape == (1, 1024, 7, 7)
    cfg = Config.fromfile(f'{ROOT}/configs/imagenet/mobilenetv1_in1k.py')
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'SGD'
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (
        0.1,
        0.9,
        1e-4,
    )
    assert cfg.param_scheduler.milestones == [30, 60, 90]
    assert cfg.train_cfg.max_epochs == 100
    assert 4 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size


@pytest.mark.parametrize(
    ('name', 'lr'),
    [
        ('resnet20', 0.05),
        ('wrn_40_1', 0.05),
        ('vgg8', 0.05),
        ('mobilenetv2_cifar', 0.01),
        ('shufflenetv1_cifar', 0.01),
        ('shufflenetv2_cifar', 0.01),
    ],
)
def test_learning_rate_is_the_benchmarks(name, lr):
    cfg = Config.fromfile(f'{ROOT}/configs/cifar100/{name}.py')
    assert cfg.optim_wrapper.optimizer.lr == lr


@pytest.mark.parametrize(
    ('name', 'wrong', 'message'),
    [
        ('cifar100/wrn_16_2', dict(depth=20), r'depth=20: a WRN has 6n \+ 4'),
        ('cifar100/wrn_16_2', dict(depth=4), 'depth=4'),
        ('cifar100/vgg13', dict(depth=12), r'depth=12: .*\[8, 11, 13, 16, 19\]'),
        ('cifar100/vgg13', dict(out_indices=(5,)), r'out_indices=\(5,\).*0 to 4'),
        ('cifar100/vgg13', dict(out_indices=()), r'out_indices=\(\)'),
        ('cifar100/vgg13', dict(frozen_stages=6), 'frozen_stages=6.*to 5'),
    ],
)
def test_refuses_what_it_has_not(name, wrong, message):
    cfg = model_cfg(name, **wrong).backbone
    with pytest.raises(ValueError, match=message):
        MODELS.build(cfg)
