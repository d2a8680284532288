"""Students that leave: what the files compute, and what becomes of wrong input."""

import json
import os
import os.path as osp
import re
import shlex

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from test_tools import ROOT
from tiny import (
    RGB_PIXELS,
    build,
    classifier,
    dense,
    distilled,
    faster_rcnn,
    mask_rcnn,
    merged,
    save_weights,
)
from torch import nn

from luminet_mm import export as package
from luminet_mm.commands import main
from luminet_mm.config import load_model_cfg
from luminet_mm.export import export
from luminet_mm.export.checking import match
from luminet_mm.registry import MODELS

CLASSES = ['ant', 'bee', 'cow', 'dog', 'eel']
LOADED = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


@MODELS.register_module()
class OddBackbone(nn.Module):
    """One convolution, and what a test does to its output."""

    ops = dict(
        plain=lambda x: x,
        no_onnx=lambda x: x + torch.lgamma(x.abs() + 1),
        # the number of images is one of the sizes that Python counted
        counting=lambda x: x.flatten().reshape(int(x.shape[0]), 8, 10, 10) * x.shape[0],
    )

    def __init__(self, op):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 3)
        self.op = self.ops[op]

    def forward(self, x):
        return (self.op(self.conv(x)),)

    def init_weights(self):
        pass


def odd(op='plain', **overrides):
    backbone = dict(_delete_=True, type='luminet_mm.OddBackbone', op=op)
    cfg = merged(classifier(), dict(head=dict(in_channels=8), **overrides))
    cfg['backbone'] = {k: v for k, v in backbone.items() if k != '_delete_'}
    return cfg


def of_zoo(kind):
    """A classifier of mmpretrain's zoo, thin, for images of 32 x 32."""
    cfg = classifier()
    if kind == 'mobilenet_v2':
        cfg['backbone'] = dict(type='MobileNetV2', widen_factor=0.25)
        cfg['head'].update(in_channels=1280)
    elif kind == 'vit':
        arch = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)
        cfg['backbone'] = dict(
            type='VisionTransformer', arch=arch, img_size=32, patch_size=8
        )
        cfg['neck'] = None
        cfg['head'] = dict(
            type='VisionTransformerClsHead', num_classes=5, in_channels=48
        )
    elif kind == 'resnet8':  # of ours, whose data set brings RGB
        cfg['backbone'] = dict(type='luminet_mm.CIFARResNet', depth=8)
        cfg['head'].update(in_channels=64)
        cfg['data_preprocessor']['to_rgb'] = False
    return cfg


def rtmdet():
    return dict(
        cfg_path='mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        _scope_='mmdet',
        backbone=dict(deepen_factor=0.1, widen_factor=0.125, init_cfg=None),
        neck=dict(in_channels=[32, 64, 128], out_channels=16, num_csp_blocks=1),
        bbox_head=dict(in_channels=16, feat_channels=16, num_classes=3),
    )


def spread(model):
    """Give a detector scores that differ, as those of a trained one."""
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and ('cls' in name or 'retina' in name):
            weight.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))


def write(root, model, name='student', pipeline=LOADED, **cfg):
    """A config and a checkpoint of a student, and the model."""
    scope = 'mmdet' if 'roi_head' in str(model) or 'bbox_head' in str(model) else None
    scope = scope or 'mmpretrain'
    whole = load_model_cfg(dict(model, _scope_=scope), 'model')
    path = f'{root}/{name}.py'
    kind = 'CocoDataset' if scope == 'mmdet' else 'CustomDataset'
    loader = dict(dataset=dict(type=kind, pipeline=pipeline))
    Config(
        dict(
            dict(default_scope=scope, model=whole.to_dict(), test_dataloader=loader),
            **cfg,
        )
    ).dump(path)
    ckpt = save_weights(dict(model, _scope_=scope), f'{root}/{name}.pth')
    built = revert_sync_batchnorm(build(dict(model, _scope_=scope))).eval()
    built.load_state_dict(torch.load(ckpt)['state_dict'])
    if scope == 'mmdet':
        spread(built)
    meta = dict(dataset_meta=dict(classes=CLASSES[: 5 if scope != 'mmdet' else 3]))
    torch.save(dict(state_dict=built.state_dict(), meta=meta), ckpt)
    return path, ckpt, built


def images(count, height, width, seed=3):
    """RGB: noise over a gradient."""
    rng = np.random.RandomState(seed)
    slope = np.linspace(0, 155, width)[None, None, None]
    return (slope + rng.randint(0, 100, (count, 3, height, width))).astype(np.uint8)


def read(path):
    with open(path) as file:
        return file.read()


def run_onnx(path, batch):
    return onnxruntime.InferenceSession(path).run(None, dict(images=batch))


def normalised(batch):
    """What a model is fed with, written down once more."""
    mean, std = (np.array(RGB_PIXELS[k]).reshape(3, 1, 1) for k in ('mean', 'std'))
    return torch.from_numpy((batch.astype(np.float32) - mean) / std).float()


@pytest.mark.parametrize('kind', ['resnet18', 'mobilenet_v2', 'vit', 'resnet8'])
def test_logits_of_onnx_are_the_models(kind, tmp_path):
    pipeline = LOADED[1:] if kind == 'resnet8' else LOADED
    config, ckpt, model = write(tmp_path, of_zoo(kind), pipeline=pipeline)
    files = export(config, ckpt, shape=[32])
    assert files == [f'{tmp_path}/student.onnx', f'{tmp_path}/student.onnx.md']
    for size in (1, 4):
        batch = images(size, 32, 32)
        with torch.no_grad():
            expected = model(normalised(batch), mode='tensor').numpy()
        (logits,) = run_onnx(files[0], batch)
        np.testing.assert_allclose(logits, expected, atol=1e-4)
        assert expected.std(axis=1).min() > 1e-3
    props = {p.key: p.value for p in onnx.load(files[0]).metadata_props}
    assert json.loads(props['classes']) == CLASSES
    assert sorted(os.listdir(tmp_path)) == [
        'student.onnx',
        'student.onnx.md',
        'student.pth',
        'student.py',
    ]


def test_channels_are_those_that_the_loader_gives(tmp_path):
    model = merged(odd(), dict(data_preprocessor=dict(to_rgb=False)))
    config, ckpt, built = write(tmp_path, model)  # mmcv loads BGR
    (path, _) = export(config, ckpt, shape=[30])
    batch = images(2, 30, 30)
    with torch.no_grad():
        expected = built(normalised(batch[:, ::-1]), mode='tensor').numpy()
    np.testing.assert_allclose(run_onnx(path, batch)[0], expected, atol=1e-4)


def found_by(model, image):
    """Boxes, scores and labels by mmdet's own way from an image as it is loaded."""
    from mmdet.structures import DetDataSample

    shape = image.shape[-2:]
    meta = dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0))
    data = dict(
        inputs=[torch.from_numpy(image[0, ::-1].copy())],
        data_samples=[DetDataSample(metainfo=meta)],
    )
    with torch.no_grad():
        found = model.test_step(data)[0].pred_instances
    return [found[key].numpy() for key in ('bboxes', 'scores', 'labels')]


DETECTORS = dict(
    retinanet=lambda: dense('retinanet'), rtmdet=rtmdet, faster_rcnn=faster_rcnn
)


@pytest.mark.parametrize('name', DETECTORS)
def test_boxes_of_onnx_are_the_models(name, tmp_path):
    config, ckpt, model = write(tmp_path, DETECTORS[name]())
    height, width = (96, 128) if name == 'rtmdet' else (100, 120)  # it does not pad
    path, card = export(config, ckpt, shape=[height, width])
    counts = []
    for seed in range(3):
        image = images(1, height, width, seed)
        boxes, scores, labels = found_by(model, image)
        # surest first: of what is close the order may differ
        others = run_onnx(path, image)
        for own, other in zip((boxes, scores, labels), others):
            assert own.shape == other.shape
        np.testing.assert_allclose(others[1], scores, atol=1e-4)
        for box, score, label in zip(*others):
            near = np.abs(scores - score) < 1e-4
            near &= (labels == label) & (np.abs(boxes - box).max(axis=1) < 1e-2)
            assert near.any()
        counts.append(len(boxes))
    assert min(counts) > 5
    text = read(card)
    assert f'shape (1, 3, {height}, {width})' in text
    assert '3 classes, in the order of the outputs: ant, bee, cow' in text


def test_torchscript_and_a_detector_that_finds_nothing(tmp_path):
    config, ckpt, model = write(tmp_path, dense('retinanet'))
    options = {'model.test_cfg.score_thr': 0.9999}
    out = f'{tmp_path}/new/folder/x.pt'
    path, card = export(config, ckpt, out=out, shape=[96, 128], cfg_options=options)
    assert path == out
    image = images(1, 96, 128)
    boxes, scores, labels = torch.jit.load(path)(torch.from_numpy(image))
    assert boxes.shape == (0, 4) and scores.shape == labels.shape == (0,)
    # all the same, boxes were compared
    assert int(read(card).split('## Checked\n\n')[1].split()[0]) >= 5
    lowered = torch.jit.load(path)
    lowered.score_thr.fill_(0.05)
    boxes, scores, labels = lowered(torch.from_numpy(image))
    np.testing.assert_allclose(scores, found_by(model, image)[1], atol=1e-4)
    files = {'metadata.json': ''}
    torch.jit.load(path, _extra_files=files)
    assert json.loads(files['metadata.json'])['classes'] == CLASSES[:3]


def test_takes_the_average_unless_told_otherwise(tmp_path):
    config, ckpt, model = write(tmp_path, odd())
    checkpoint = torch.load(ckpt)
    trained = {
        name: value + 0.5 if name == 'head.fc.bias' else value
        for name, value in checkpoint['state_dict'].items()
    }
    checkpoint['ema_state_dict'] = dict(
        {f'module.{name}': value for name, value in trained.items()}, steps=3
    )
    torch.save(checkpoint, ckpt)
    batch = images(1, 30, 30)
    average, card = export(config, ckpt, shape=[30])
    assert 'averaged over the training (EMA)' in read(card)
    plain, card = export(
        config, ckpt, out=f'{tmp_path}/trained.onnx', shape=[30], without_ema=True
    )
    assert 'weights as trained, not averaged' in read(card)
    np.testing.assert_allclose(
        run_onnx(plain, batch)[0] - run_onnx(average, batch)[0], 0.5, atol=1e-4
    )


def test_config_of_the_distillation_and_its_card(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    teacher = dict(cfg_path='teacher.py')
    model = distilled(odd(), teacher, 'teacher.pth', warmup=3)
    student_config, ckpt, built = write('.', odd())
    Config(
        dict(
            default_scope='mmpretrain',
            model=model,
            train_dataloader=dict(
                dataset=dict(type='CustomDataset', data_prefix='mine/train')
            ),
            test_dataloader=dict(
                dataset=dict(
                    type='CustomDataset',
                    pipeline=[
                        LOADED[0],
                        dict(type='ResizeEdge', scale=40),
                        dict(type='CenterCrop', crop_size=30),
                        LOADED[1],
                    ],
                )
            ),
        )
    ).dump('distillation.py')
    with open('teacher.pth', 'wb') as file:
        file.write(b'abc')
    checkpoint = torch.load(ckpt)
    checkpoint['state_dict']['distill_losses.loss_x.conv.weight'] = torch.ones(1)
    checkpoint['meta'].update(epoch=2, iter=20, mmengine_version='0.10.7')
    torch.save(checkpoint, ckpt)
    os.makedirs('start/vis_data')
    with open('start/vis_data/scalars.json', 'w') as file:
        for step, top1 in enumerate((40.0, 50.0, 60.0), 1):
            file.write(json.dumps(dict(loss=1.0, epoch=step, step=step)) + '\n')
            file.write(json.dumps({'accuracy/top1': top1, 'step': step}) + '\n')

    main(['export', 'distillation.py', ckpt])
    assert capsys.readouterr().out.endswith('student.onnx\n./student.onnx.md\n')
    with torch.no_grad():
        batch = images(3, 30, 30)
        expected = built(normalised(batch), mode='tensor').numpy()
    np.testing.assert_allclose(run_onnx('student.onnx', batch)[0], expected, atol=1e-4)

    card = read('student.onnx.md')
    for line in (
        'shape (N, 3, 30, 30)',
        'their softmax is the score',
        '`ResizeEdge(scale=40), CenterCrop(crop_size=30)`',
        'ImageClassifier, config `distillation.py`',
        '2 epochs, 20 iterations',
        '`teacher.py`, checkpoint `teacher.pth`, sha256 `ba7816bf8f01cfea',
        "`loss_luminet`: `{'type': 'luminet_mm.LuminetLoss'}`",
        '`warmup`: `3`',
        'trained on CustomDataset, data_prefix `mine/train`',
        'in the order of the outputs: ant, bee, cow, dog, eel',
        'Validation after epoch 2, as logged:\n\n- accuracy/top1: 50\n',
        'trained with mmengine 0.10.7',
        f'luminet export distillation.py {ckpt}',
    ):
        assert line in card, line
    scope = {}
    exec(card.split('```python\n')[1].split('```')[0], scope)
    assert scope['logits'].shape == (2, 5)

    # of a plain student nobody knows the teacher
    main(['export', student_config, ckpt, '--shape', '30', '--out', 'alone.onnx'])
    card = read('alone.onnx.md')
    assert '## Teacher' not in card and '## Method' not in card
    assert '## Student' in card and 'trained on' not in card


def test_numbers_that_only_the_checkpoint_remembers(tmp_path):
    from mmengine.logging import MessageHub

    config, ckpt, _ = write(tmp_path, odd())
    hub = MessageHub.get_instance('remembers')
    for value in (40.0, 70.0):
        hub.update_scalar('val/accuracy/top1', value)
        hub.update_scalar('train/loss', value)
    checkpoint = torch.load(ckpt)
    torch.save(dict(checkpoint, message_hub=hub.state_dict()), ckpt)
    card = read(export(config, ckpt, shape=[30])[-1])
    wanted = 'The last validation that the checkpoint remembers, as logged:\n\n- acc'
    assert wanted in card and '- accuracy/top1: 70\n' in card and 'loss' not in card


def test_plain_files_are_upstreams(tmp_path):
    from mmdet.apis import inference_detector, init_detector

    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(128, 96), keep_ratio=True),
        dict(
            type='PackDetInputs',
            meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
        ),
    ]
    student = dense('retinanet')
    plain_config, ckpt, model = write(tmp_path, student, pipeline=pipeline)
    cfg = Config.fromfile(plain_config)
    cfg.model = distilled(cfg.model, dict(cfg_path='none.py'), 'none.pth')
    cfg.default_hooks = dict(checkpoint=dict(type='luminet_mm.SafeCheckpointHook'))
    cfg.dump(f'{tmp_path}/distillation.py')
    checkpoint = torch.load(ckpt)
    checkpoint['state_dict']['distill_losses.loss_x.weight'] = torch.ones(1)
    torch.save(checkpoint, ckpt)

    files = export(f'{tmp_path}/distillation.py', ckpt, format='plain')
    names = ['student-plain.pth', 'student-plain.py', 'student-plain.pth.md']
    assert [osp.basename(path) for path in files] == names
    text = read(files[1])
    assert 'luminet' not in text and '_base_ =' not in text and 'cfg_path' not in text
    upstream = init_detector(files[1], files[0], device='cpu')
    assert upstream.dataset_meta['classes'] == CLASSES[:3]
    image = images(1, 96, 128)
    found = inference_detector(upstream, image[0, ::-1].transpose(1, 2, 0).copy())
    boxes, scores, labels = found_by(model, image)
    np.testing.assert_allclose(found.pred_instances.scores, scores, atol=1e-5)
    assert len(scores) > 5


@pytest.fixture(scope='module')
def student(tmp_path_factory):
    root = tmp_path_factory.mktemp('student')
    write(root, merged(classifier(), dict(head=dict(num_classes=3))), 'other')
    return write(root, odd())[:2]


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(ckpt='none.pth'), "checkpoint='.*none.pth': no such file"),
        (dict(ckpt='other.pth'), 'other.pth is not of the model of .*student.py'),
        (dict(config='empty.py'), 'empty.py sets no model, so there is nothing'),
        (dict(config='none.py'), 'none.py.*no such file'),
        (dict(format='tflite'), '--format tflite is none of onnx, torchscript, plain'),
        (
            dict(out='x.pt', format='onnx'),
            'x.pt: a file of --format onnx ends in .onnx',
        ),
        (dict(out='folder.onnx'), 'folder.onnx is a folder; name a file with --out'),
        (dict(out='there.onnx'), 'there.onnx exists and is not overwritten; name'),
        (dict(out='empty.py/x.onnx'), '--out .*empty.py/x.onnx cannot be written'),
        (dict(out='student.pth', format='plain', force=True), 'is what is exported'),
        (dict(shape=None), 'does not say how large images are in testing; .* --shape'),
        (dict(shape=[0]), '--shape=0 must be an integer of at least 1'),
        (dict(shape=[3, 32, 32]), '--shape 3 32 32: give height and width'),
        (dict(shape=[1]), 'cannot be traced on images of .*2, 3, 1, 1.*Kernel size'),
        (dict(batch_size=0), '--batch-size=0 must be an integer of at least 1'),
        (dict(without_ema=True), '--without-ema: .* has no ema_state_dict, so its run'),
        (
            dict(cfg_options={'model.x.y': 1}),
            'model.x.*ImageClassifier has no such setting',
        ),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, dict) else '',
)
def test_wrong_input_is_one_sentence(changes, message, student):
    config, ckpt = student
    root = osp.dirname(config)
    Config(dict(default_scope='mmpretrain')).dump(f'{root}/empty.py')
    os.makedirs(f'{root}/folder.onnx', exist_ok=True)
    with open(f'{root}/there.onnx', 'w') as file:
        file.write('precious')
    kwargs = dict(dict(config=config, ckpt=ckpt, shape=[30]), **changes)
    for name in ('config', 'ckpt', 'out'):
        if name in changes:
            kwargs[name] = f'{root}/{changes[name]}'
    before = sorted(os.listdir(root))
    with pytest.raises(ValueError, match=message):
        export(**kwargs)
    assert sorted(os.listdir(root)) == before
    assert read(f'{root}/there.onnx') == 'precious'


def test_weights_that_are_not_finite(tmp_path):
    config, ckpt, _ = write(tmp_path, odd())
    checkpoint = torch.load(ckpt)
    checkpoint['state_dict']['head.fc.bias'][0] = float('nan')
    torch.save(checkpoint, ckpt)
    with pytest.raises(ValueError, match='head.fc.bias holds nan or inf'):
        export(config, ckpt, shape=[30])


def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch, capsys):
    config, ckpt, _ = write(tmp_path, odd())
    out = tmp_path / 'x.onnx'
    out.write_text('precious')
    load = package.onnx.load

    def wrong(path):
        run = load(path)
        return lambda batch: [run(batch)[0] + 0.25]

    monkeypatch.setattr(package.onnx, 'load', wrong)
    arguments = ['export', config, ckpt, '--shape', '30', '--out', str(out), '--force']
    with pytest.raises(SystemExit, match='logits differ by 0.25 of the largest, and'):
        main(arguments)
    assert sorted(os.listdir(tmp_path)) == ['student.pth', 'student.py', 'x.onnx']
    assert out.read_text() == 'precious'
    monkeypatch.undo()
    main(arguments)
    assert run_onnx(str(out), images(1, 30, 30))[0].shape == (1, 5)


def test_names_the_operator_that_onnx_lacks(tmp_path):
    config, ckpt, model = write(tmp_path, odd('no_onnx'))
    with pytest.raises(ValueError, match='operator aten::lgamma; take --format torch'):
        export(config, ckpt, shape=[30])
    path, _ = export(config, ckpt, shape=[30], format='torchscript')
    batch = images(3, 30, 30)
    with torch.no_grad():
        expected = model(normalised(batch), mode='tensor')
    found = torch.jit.load(path)(torch.from_numpy(batch))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_model_that_counts_its_images(tmp_path):
    config, ckpt, _ = write(tmp_path, odd('counting'))
    with pytest.raises(ValueError, match='not one of 1 .* with --batch-size 1'):
        export(config, ckpt, shape=[30])
    path, card = export(config, ckpt, shape=[30], batch_size=1)
    assert run_onnx(path, images(1, 30, 30))[0].shape == (1, 5)
    assert 'shape (1, 3, 30, 30)' in read(card)


def test_detectors_that_need_operators_of_their_own(tmp_path):
    config, ckpt, _ = write(tmp_path, dense('retinanet'))
    with pytest.raises(ValueError, match='--batch-size 2: the graph of a detector'):
        export(config, ckpt, shape=[64], batch_size=2)
    options = {'model.test_cfg.nms.type': 'soft_nms'}
    with pytest.raises(ValueError, match="'soft_nms'.* cannot be exported.*plain"):
        export(config, ckpt, shape=[64], cfg_options=options)
    config, ckpt, _ = write(tmp_path, mask_rcnn(), 'masks')
    with pytest.raises(ValueError, match='MaskRCNN predicts masks.*--format plain'):
        export(config, ckpt, shape=[64])
    config, ckpt, _ = write(tmp_path, dense('vfnet'), 'vfnet')
    with pytest.raises(ValueError, match='operator DeformConv2dFunction is neither'):
        export(config, ckpt, shape=[192])


def test_says_what_to_install(student, monkeypatch):
    find_spec = package.onnx.find_spec
    monkeypatch.setattr(
        package.onnx,
        'find_spec',
        lambda name: None if name == 'onnxruntime' else find_spec(name),
    )
    with pytest.raises(ValueError, match='needs onnxruntime: pip install onnxruntime'):
        export(*student, shape=[30])


def test_page(tmp_path, monkeypatch):
    """Every command and every line of Python on the page, in its order."""
    monkeypatch.chdir(tmp_path)
    pipeline = [LOADED[0], dict(type='Resize', scale=(32, 32)), LOADED[1]]
    write('.', odd(), pipeline=pipeline)
    checkpoint = torch.load('student.pth')
    ema = {f'module.{key}': value for key, value in checkpoint['state_dict'].items()}
    torch.save(dict(checkpoint, ema_state_dict=ema), 'averaged.pth')
    blocks = re.findall(
        r'```(\w+)\n(.*?)```', read(f'{ROOT}/docs/export.md'), re.DOTALL
    )
    scope, commands = {}, []
    for language, text in blocks:
        if language == 'python':
            exec(text, scope)
            continue
        for line in text.splitlines():
            program, *arguments = shlex.split(line)
            if program == 'luminet':
                main(arguments)
            commands.append(program)
    assert commands == ['pip'] + ['luminet'] * 7
    assert scope['logits'].shape == (4, 5)
    assert scope['files'] == ['again.onnx', 'again.onnx.md']
    for name in ('small.onnx', 'one.onnx', 'student.pt', 'student-plain.py'):
        assert osp.exists(name)


def test_counterparts_of_boxes():
    inf = float('inf')
    boxes = torch.tensor(
        [[0, 0, 9, 9], [0, 0, 5, 5], [1, 1, 7, -inf]], dtype=torch.float
    )
    own = boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1])
    order = [1, 0, 2]
    assert match(own, [each[order] for each in own], 100) == (0, 0)
    moved = boxes + torch.tensor([0.005, 0, 0, 0])
    worst, lacking = match(own, (moved, *own[1:]), 100)
    assert worst == pytest.approx(5e-5, rel=0.02) and lacking == 0
    assert match(own, (boxes + 1, *own[1:]), 100)[1] == 3
    assert match(own, (*own[:2], torch.tensor([0, 1, 1])), 100)[1] == 1
    assert match(own, (boxes, own[1] - 0.01, own[2]), 100)[1] == 3
    assert match(own, [each[:0] for each in own], 100) == (0, 3)
    assert match([each[:1] for each in own], own, 100) == (0, 2)


def test_boxes_that_differ_are_not_kept(tmp_path, monkeypatch):
    config, ckpt, _ = write(tmp_path, dense('retinanet'))
    load = package.torchscript.load

    def fewer(path, score_thr=None):
        run = load(path, score_thr)
        return lambda images: [out[3:] for out in run(images)]

    monkeypatch.setattr(package.torchscript, 'load', fewer)
    with pytest.raises(
        ValueError, match=r'of \d+ boxes .* in random images, 9 are not'
    ):
        export(config, ckpt, shape=[96, 128], format='torchscript')
    assert sorted(os.listdir(tmp_path)) == ['student.pth', 'student.py']
