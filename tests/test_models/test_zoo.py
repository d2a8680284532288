"""The CIFAR zoo against the benchmark's models, through the converter of its files."""

import importlib.util
import os
import os.path as osp

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.datasets import CIFAR100
from published import ZOO
from test_tools import ROOT, tool

import luminet_mm  # noqa: F401
from luminet_mm.distillers.teacher import Teacher
from luminet_mm.registry import MODELS

TOOL = 'model_converters/mdistiller2mmpretrain.py'
spec = importlib.util.spec_from_file_location('converter', f'{ROOT}/tools/{TOOL}')
converter = importlib.util.module_from_spec(spec)
spec.loader.exec_module(converter)


def config(name):
    return f'{ROOT}/configs/cifar100/{name}.py'


def build(name):
    init_default_scope('mmpretrain')
    return MODELS.build(Config.fromfile(config(name)).model)


def trained(name):
    """A published model with statistics and affine parameters that matter."""
    torch.manual_seed(0)
    model = ZOO[name][1]()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
            module.momentum = 1  # the statistics become those of the next batch
    with torch.no_grad():
        model.train()(torch.randn(8, 3, 32, 32))
    return model.eval()


def publish(model, path, **changes):
    """Write a file as the benchmark does; a change to None leaves a tensor out."""
    weights = {**model.state_dict(), **changes}
    weights = {name: value for name, value in weights.items() if value is not None}
    torch.save(dict(epoch=240, accuracy=0.7, model=weights), path)
    return str(path)


@pytest.mark.parametrize('name', ZOO)
def test_is_the_benchmarks_model(name, tmp_path):
    """A published checkpoint gives here what it gave there."""
    parameters, _ = ZOO[name]
    theirs = trained(name)
    path = publish(theirs, tmp_path / 'published.pth')
    converter.convert(config(name), path, str(tmp_path / 'ours.pth'))
    ours = build(name)
    checkpoint = torch.load(tmp_path / 'ours.pth')
    ours.load_state_dict(checkpoint['state_dict'], strict=True)

    assert sum(p.numel() for p in ours.parameters()) == parameters
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = theirs.double()(images)
        found = ours.double().eval()(images)
    assert expected.std(0).mean() > 0.01 * expected.abs().mean()  # images matter
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_converted_file_teaches(tmp_path):
    """By the command line, then as a teacher's checkpoint, classes checked."""
    path = publish(trained('wrn_16_1'), tmp_path / 'published.pth')
    out = tmp_path / 'new' / 'ours.pth'
    tool(TOOL, config('wrn_16_1'), path, out)
    assert os.listdir(out.parent) == ['ours.pth']
    model = build('wrn_16_1')
    teacher = Teacher(
        dict(cfg_path=config('wrn_16_1')), str(out), model.data_preprocessor
    )
    teacher.check_classes(CIFAR100.METAINFO['classes'])
    with pytest.raises(ValueError, match='trained on 100 classes'):
        teacher.check_classes(['a', 'b'])


def test_converts_files_that_do_not_count_batches(tmp_path):
    model = trained('resnet8')
    none = {name: None for name in model.state_dict() if name.endswith('_tracked')}
    path = publish(model, tmp_path / 'published.pth', **none)
    converter.convert(config('resnet8'), path, str(tmp_path / 'ours.pth'))
    weights = torch.load(tmp_path / 'ours.pth')['state_dict']
    assert weights['backbone.bn1.num_batches_tracked'] == 0
    build('resnet8').load_state_dict(weights, strict=True)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'fc.bias': None}, r'1 tensors missing: head\.fc\.bias$'),
        ({'bn1.num_batches_tracked': None}, r'1 tensors missing: backbone\.bn1\.num'),
        ({'fc2.weight': torch.zeros(1)}, r'1 tensors unexpected: fc2\.weight$'),
        # the head a second time, under another family's name
        ({'linear.bias': torch.zeros(100)}, r'1 tensors unexpected: linear\.bias$'),
        (
            {'fc.weight': torch.zeros(10, 64), 'fc.bias': torch.zeros(10)},
            r'2 tensors of another shape: head\.fc\.weight \(10, 64\) instead of '
            r'\(100, 64\), head\.fc\.bias \(10,\) instead of \(100,\)$',
        ),
    ],
)
def test_converts_all_or_nothing(changes, message, tmp_path):
    path = publish(ZOO['resnet8'][1](), tmp_path / 'published.pth', **changes)
    with pytest.raises(ValueError, match=message):
        converter.convert(config('resnet8'), path, str(tmp_path / 'ours.pth'))
    assert os.listdir(tmp_path) == ['published.pth']


def test_refuses_another_models_checkpoint(tmp_path):
    path = publish(ZOO['resnet14'][1](), tmp_path / 'published.pth')
    with pytest.raises(ValueError, match=r'36 tensors unexpected: .*, \.\.\.$'):
        converter.convert(config('resnet8'), path, str(tmp_path / 'ours.pth'))


def test_refuses_wrong_files(tmp_path):
    out = str(tmp_path / 'ours.pth')
    path = publish(ZOO['resnet8'][1](), tmp_path / 'published.pth')
    with pytest.raises(ValueError, match="'MobileNetV1'.*has published nothing"):
        name = f'{ROOT}/configs/imagenet/mobilenetv1_in1k.py'
        converter.convert(name, path, out)
    with pytest.raises(ValueError, match='nowhere.py.*no such file'):
        converter.convert('nowhere.py', path, out)
    with pytest.raises(ValueError, match='nowhere.pth.*no such file'):
        converter.convert(config('resnet8'), 'nowhere.pth', out)
    torch.save(dict(state_dict={}, meta={}), tmp_path / 'mmengine.pth')
    with pytest.raises(ValueError, match=r"dict\(model=.*holds \['state_dict', 'meta'"):
        converter.convert(config('resnet8'), str(tmp_path / 'mmengine.pth'), out)
    assert not osp.exists(out)


def test_overwrites_nothing(tmp_path):
    path = publish(ZOO['resnet8'][1](), tmp_path / 'published.pth')
    before = (tmp_path / 'published.pth').read_bytes()
    with pytest.raises(ValueError, match='exists already'):
        converter.convert(config('resnet8'), path, path)
    assert (tmp_path / 'published.pth').read_bytes() == before
