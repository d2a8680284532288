"""What a GPU alone shows: `make test` runs it after all others, where there is one.

`LUMINET_TEST_GPU=1 pytest tests/test_gpu.py` tries it on a CPU, in float32.
"""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import Runner
from tiny import (
    build,
    cascade_rcnn,
    classification_run,
    classifier,
    dense,
    detection_batch,
    detr,
    distilled,
    distiller,
    faster_rcnn,
    image_batch,
    load_checkpoint,
    mask_rcnn,
    merged,
    save_weights,
    vit,
)

from luminet_mm.distillers.acceleration import full_precision

pytestmark = pytest.mark.gpu

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device('cuda' if ON_GPU else 'cpu')
PRECISIONS = ['float32', 'float16', 'bfloat16'] if ON_GPU else ['float32']
CLASSIFIERS = dict(resnet=classifier(), vit=vit())
TWO_STAGE = dict(faster=faster_rcnn(), cascade=cascade_rcnn(), mask=mask_rcnn())
OTHERS = dict(
    retinanet=dense('retinanet'),
    fcos=dense('fcos'),
    gfl=dense('gfl'),
    dino=detr('dino'),
)
FAMILIES = {**CLASSIFIERS, **TWO_STAGE, **OTHERS}


def batch_of(name, seed=0):
    if name in CLASSIFIERS:
        return image_batch(seed=seed)
    return detection_batch(masks=name == 'mask', seed=seed)


def on_device(name, tmp_path, **kwargs):
    """A distiller of a family whose teacher knows something else."""
    cfg = FAMILIES[name]
    ckpt = save_weights(cfg, tmp_path / 'teacher.pth', seed=1)
    model = distiller(copy.deepcopy(cfg), copy.deepcopy(cfg), ckpt, **kwargs)
    model.init_weights()
    return model.to(DEVICE).train()


@pytest.mark.parametrize('precision', PRECISIONS)
@pytest.mark.parametrize('name', FAMILIES)
def test_each_family_trains(name, precision, tmp_path):
    model = on_device(name, tmp_path, accelerate_teacher=True)
    sgd = torch.optim.SGD(model.parameters(), lr=0.002, momentum=0.9)
    settings = dict(optimizer=sgd, clip_grad=dict(max_norm=5))
    wrapper = OptimWrapper(**settings)
    if precision != 'float32':
        wrapper = AmpOptimWrapper(**settings, dtype=precision, loss_scale=128.0)
    if precision == 'bfloat16' and name in TWO_STAGE:
        with pytest.raises(ValueError, match="optim_wrapper.dtype='bfloat16': an op"):
            model.train_step(batch_of(name), wrapper)
        return
    losses = []
    for _ in range(10):
        log = model.train_step(batch_of(name), wrapper)
        assert all(torch.as_tensor(each).isfinite().all() for each in log.values())
        assert min(log['loss_luminet'], log['loss_kd']) > 0
        losses.append(float(log['loss']))
    assert min(losses[1:]) < losses[0]


@pytest.mark.parametrize('name', FAMILIES)
def test_own_weights_give_zero(name, tmp_path):
    model = on_device(name, tmp_path)
    model.student.load_state_dict(model.teachers[0].model.state_dict())
    for module in model.student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    with full_precision():
        losses = model(**model.data_preprocessor(batch_of(name), True), mode='loss')
    # denoising queries, of training alone, make torch add in another order
    limit = 1e-5 if name == 'dino' else 0
    assert float(losses['loss_kd'].detach()) <= limit
    assert float(losses['loss_luminet'].detach()) <= limit


@pytest.mark.parametrize('name', ['resnet', 'vit', 'retinanet', 'fcos', 'gfl'])
def test_losses_are_those_of_a_cpu(name, tmp_path):
    model = on_device(name, tmp_path)
    model.student.eval()
    taken = []
    for device in (DEVICE, torch.device('cpu')):
        model.to(device)
        batch = model.data_preprocessor(batch_of(name), True)
        with full_precision():
            taken.append(model(**batch, mode='loss'))
    ours, expected = taken
    assert list(ours) == list(expected)
    for key in ('loss_kd', 'loss_luminet'):
        torch.testing.assert_close(ours[key].cpu(), expected[key], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('name', ['resnet', 'faster', 'retinanet'])
def test_a_teacher_is_folded(name, tmp_path):
    model = on_device(name, tmp_path, accelerate_teacher=True)
    batch = model.data_preprocessor(batch_of(name), True)
    model(**batch, mode='loss')
    (teacher,) = model.teachers
    norms = [
        module
        for part in (teacher.model.backbone, teacher.model.neck)
        for module in part.modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    ]
    assert not norms


def run(tmp_path, name, **overrides):
    """A training through the runner, with what large ones switch on."""
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth', seed=5)
    loader = dict(num_workers=2, persistent_workers=True, pin_memory=True)
    cfg = classification_run(
        distilled(classifier(), classifier(), ckpt, warmup=2),
        tmp_path,
        tmp_path / name,
        train_dataloader=loader,
        custom_hooks=[dict(type='EMAHook', momentum=0.5, update_buffers=True)],
        **{'max_epochs': 3, **overrides},
    )
    Runner.from_cfg(Config(cfg)).train()
    return load_checkpoint(
        tmp_path / name / f'epoch_{cfg["train_cfg"]["max_epochs"]}.pth'
    )


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = run(tmp_path, 'whole')
    run(tmp_path, 'parts', max_epochs=2)
    parts = run(tmp_path, 'parts', resume=True)
    for key in ('state_dict', 'ema_state_dict'):
        assert list(whole[key]) == list(parts[key])
        for name, value in whole[key].items():
            torch.testing.assert_close(value, parts[key][name], msg=name)
    build(classifier()).load_state_dict(whole['state_dict'], strict=True)


@pytest.mark.parametrize('name', ['resnet', 'faster', 'retinanet'])
def test_memory_does_not_grow(name, tmp_path):
    model = on_device(name, tmp_path, accelerate_teacher=True)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9))
    peaks = []
    for _ in range(3):
        if ON_GPU:
            torch.cuda.reset_peak_memory_stats()
        for seed in range(4):
            model.train_step(batch_of(name, seed), wrapper)
        peaks.append(torch.cuda.max_memory_allocated() if ON_GPU else 1)
    assert peaks[2] <= 1.01 * peaks[1]


def test_images_lie_on_the_device(tmp_path):
    """As CIFAR's configs have it: the set in memory, cut and flipped where it lies."""
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth', seed=5)
    cfg = classification_run(
        distilled(classifier(), classifier(), ckpt), tmp_path, tmp_path / 'run'
    )
    dataset = cfg['train_dataloader']['dataset']
    cfg['train_dataloader']['dataset'] = dict(
        type='luminet_mm.CachedDataset', dataset=dataset
    )
    cfg['data_preprocessor'] = merged(
        classifier()['data_preprocessor'],
        dict(type='luminet_mm.CropFlipDataPreprocessor', padding=4),
    )
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    inputs = runner.model.data_preprocessor(image_batch(), True)['inputs']
    assert inputs.device.type == DEVICE.type
