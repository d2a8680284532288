"""Pictures during a training, which must not notice them."""

import glob
import os
import random
import re

import cv2
import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from test_tools import distributed_env, dump, free_port, weights
from tiny import (
    classification_run,
    classifier,
    dense,
    detection_batch,
    detection_run,
    distilled,
    distiller,
    faster_rcnn,
    mask_rcnn,
    save_weights,
)

from luminet_mm.compat import setup_cpu_distributed
from luminet_mm.distillers import LogitDistiller
from luminet_mm.hooks import distill_visualization_hook

HOOK = dict(type='luminet_mm.DistillVisualizationHook')


@HOOKS.register_module(force=True)
class WitnessHook(Hook):
    """Notes, before each step, in which mode the modules are."""

    priority = 'VERY_LOW'

    def before_train(self, runner):
        self.modes = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = runner.model
        self.modes.append([module.training for module in model.modules()])
        assert all(p.requires_grad for p in model.parameters())
        assert torch.is_grad_enabled()

    def after_train(self, runner):
        runner.message_hub.update_info('modes', self.modes)


@pytest.fixture
def drawn(monkeypatch):
    """What the hook's matrices were made of, at each step."""
    calls = []
    draw = distill_visualization_hook.draw_perceptions

    def record(preds_S, preds_T, labels, *args, **kwargs):
        calls.append((preds_S, preds_T, labels))
        return draw(preds_S, preds_T, labels, *args, **kwargs)

    monkeypatch.setattr(distill_visualization_hook, 'draw_perceptions', record)
    return calls


def train(cfg):
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    return runner


def pictures(runner):
    """Names and pixels of what the local backend stored."""
    paths = sorted(glob.glob(f'{runner.log_dir}/vis_data/vis_image/*.png'))
    return {path.split('/')[-1][:-4]: cv2.imread(path) for path in paths}


def read_log(runner):
    with open(glob.glob(f'{runner.log_dir}/*.log')[0]) as file:
        return file.read()


def augmented(cfg):
    """Random numbers of the main process: where the batch comes from, too."""
    flip = dict(type='RandomFlip', prob=0.5)
    cfg['train_dataloader']['dataset']['pipeline'].insert(-1, flip)
    return cfg


# its loss counts the labels it has seen, in a buffer that eval mode does not stop
SEESAW = dict(type='SeesawLoss', num_classes=5)
TASKS = {
    'classifier': (
        classifier(head=dict(loss=SEESAW)),
        classifier(),
        classification_run,
    ),
    'faster_rcnn': (faster_rcnn(), faster_rcnn(), detection_run),
    'dense': (dense('retinanet'), dense('retinanet'), detection_run),
}


@pytest.mark.parametrize('task', TASKS)
def test_weights_are_those_without_it_to_the_last_bit(task, tmp_path):
    student, teacher, make_run = TASKS[task]
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth', seed=5)
    model = distilled(student, teacher, ckpt)
    results = {}
    for name, hooks in (('with', [HOOK]), ('without', [])):
        hooks = [*hooks, dict(type='WitnessHook')]
        cfg = make_run(model, tmp_path, tmp_path / name, custom_hooks=hooks)
        runner = train(augmented(cfg))
        results[name] = (
            runner.model.state_dict(),
            runner.optim_wrapper.state_dict()['state'],
            runner.message_hub.get_info('modes'),
            (torch.rand(1).item(), np.random.rand(), random.random()),
            pictures(runner),
        )
    (with_, momenta, modes, draws, seen), without = results['with'], results['without']
    assert list(with_) == list(without[0])
    for name, value in without[0].items():
        assert torch.equal(with_[name], value), name
    for index, state in without[1].items():
        assert torch.equal(momenta[index]['momentum_buffer'], state['momentum_buffer'])
    assert modes == without[2]
    assert draws == without[3]
    assert not without[4]
    names = ['perception'] if task == 'classifier' else ['detections', 'perception']
    assert list(seen) == [f'{name}_{step}' for name in names for step in range(3)]
    assert not np.array_equal(seen['perception_0'], seen['perception_2'])


@pytest.mark.parametrize(
    'setting',
    [
        dict(activation_checkpointing=['backbone.layer2']),
        dict(efficient_conv_bn_eval=['backbone']),
    ],
)
def test_weights_are_those_without_it_where_upstream_replaced_forward(
    setting, tmp_path
):
    """A copy's ``forward`` may be that of the module that is trained."""
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth', seed=5)
    model = distilled(classifier(), classifier(), ckpt)
    trained = []
    for name, hooks in (('with', [HOOK]), ('without', [])):
        cfg = classification_run(
            model, tmp_path, tmp_path / name, custom_hooks=hooks, **setting
        )
        runner = train(cfg)
        trained.append(runner.model.state_dict())
        assert bool(pictures(runner)) == bool(hooks)
    for name, value in trained[1].items():
        assert torch.equal(trained[0][name], value), name


def test_shows_one_batch_from_the_first_step_to_the_last(drawn, tmp_path):
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth', seed=5)
    model = distilled(classifier(), classifier(), ckpt)
    cfg = classification_run(
        model,
        tmp_path,
        tmp_path / 'run',
        max_epochs=3,
        custom_hooks=[dict(HOOK, interval=2)],
    )
    runner = train(cfg)
    # 3 is the end, though no multiple of the interval
    assert list(pictures(runner)) == ['perception_0', 'perception_2', 'perception_3']
    (untrained, preds_T, labels), *later = drawn
    assert len(labels) == 4  # the batch
    for preds_S, same_T, same_labels in later:
        assert torch.equal(same_T, preds_T) and torch.equal(same_labels, labels)
        assert not torch.allclose(preds_S, untrained)

    # what it shows at the end is the student as it will be tested
    dataset = runner.train_dataloader.dataset
    every = [dataset[index] for index in range(len(dataset))]
    batch = dict(
        inputs=[one['inputs'] for one in every],
        data_samples=[one['data_samples'] for one in every],
    )
    student = runner.model.student.eval()
    with torch.no_grad():
        data = student.data_preprocessor(batch, False)
        of_all = student(data['inputs'], mode='tensor')
    for row in later[-1][0]:
        assert (of_all - row).abs().amax(dim=1).min() < 1e-4


@pytest.mark.parametrize('interval, steps', [(None, [0, 2, 4, 5]), (3, [0, 3, 5])])
def test_follows_an_iteration_based_loop(interval, steps, drawn, tmp_path):
    """Its validations say when, unless an interval does; masks are no hindrance."""
    ckpt = save_weights(mask_rcnn(), tmp_path / 'teacher.pth', seed=5)
    model = distilled(faster_rcnn(), mask_rcnn(), ckpt)
    hook = dict(HOOK, interval=interval, max_rows=20, num_images=1)
    cfg = detection_run(model, tmp_path, tmp_path / 'run', custom_hooks=[hook])
    cfg['train_cfg'] = dict(by_epoch=False, max_iters=5, val_interval=2)
    cfg['train_dataloader']['sampler']['type'] = 'InfiniteSampler'
    runner = train(cfg)
    assert list(pictures(runner)) == [
        f'{name}_{step}' for name in ('detections', 'perception') for step in steps
    ]
    for preds_S, preds_T, labels in drawn:
        assert preds_S.shape == preds_T.shape == (len(labels), 4)
        assert not preds_S.requires_grad
        assert {0, 1, 2, 3} == set(labels.tolist())  # the same images, and background


def train_process(rank, port, configs):
    os.environ.update(distributed_env(rank, port))
    cfgs = [Config.fromfile(config) for config in configs]
    setup_cpu_distributed(cfgs[0])
    for cfg in cfgs:
        cfg.model_wrapper_cfg = cfgs[0].model_wrapper_cfg
        Runner.from_cfg(cfg).train()
    os._exit(0)  # see tests/test_losses/test_sync_stats.py


def test_one_process_of_two_draws(tmp_path):
    """And none waits for ever, even if drawing fails there: ATSS's loss takes its mean
    over all processes."""
    ckpt = save_weights(dense('atss'), tmp_path / 'teacher.pth', seed=5)
    model = distilled(dense('atss'), dense('atss'), ckpt)
    configs = []
    full = dict(type='LocalVisBackend', img_save_dir=__file__)  # where no folder can be
    for name, overrides in (
        ('with', dict(custom_hooks=[HOOK])),
        ('failing', dict(custom_hooks=[HOOK], visualizer=dict(vis_backends=[full]))),
        ('without', dict()),
    ):
        cfg = detection_run(model, tmp_path, tmp_path / name, **overrides)
        cfg['optim_wrapper'].update(type='OptimWrapper')
        cfg['train_cfg'].update(max_epochs=1)
        cfg.get('visualizer', {}).update(type='Visualizer', name=name)
        cfg.update(launcher='pytorch')
        configs.append(dump(cfg, tmp_path / f'{name}.py'))
    mp.spawn(train_process, (free_port(), configs), nprocs=2)
    trained = {}
    for name in ('with', 'failing', 'without'):
        (log,) = tmp_path.glob(f'{name}/*/*.log')
        off = log.read_text().count('DistillVisualizationHook is off')
        assert off == (name == 'failing')
        trained[name] = weights(tmp_path / name)
    for name, value in trained.pop('without').items():
        assert all(torch.equal(other[name], value) for other in trained.values())
    stored = tmp_path.glob('with/*/vis_data/vis_image/*.png')
    assert sorted(path.name for path in stored) == [
        f'{name}_{step}.png' for name in ('detections', 'perception') for step in (0, 1)
    ]


REPPOINTS = dict(
    cfg_path='mmdet::reppoints/reppoints-moment_r50_fpn_1x_coco.py',
    _scope_='mmdet',
    backbone=dict(depth=18, base_channels=8, stem_channels=8, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    bbox_head=dict(
        num_classes=3,
        in_channels=16,
        feat_channels=16,
        point_feat_channels=16,
        stacked_convs=1,
        norm_cfg=None,
    ),
)
MIXUP = dict(augments=dict(type='Mixup', alpha=0.8))
MANY = dict(test_cfg=dict(rcnn=dict(score_thr=0.0)))
ONE = dict(metainfo=dict(classes=('a',)))
UNUSUAL = {
    'vfnet': (dense('vfnet'), {}),
    'reppoints': (REPPOINTS, {}),
    'fcos': (dense('fcos'), {}),
    'mixup': (classifier(data_preprocessor=dict(batch_augments=MIXUP)), {}),
    'binary': (
        classifier(
            data_preprocessor=dict(batch_augments=MIXUP),
            head=dict(loss=dict(type='CrossEntropyLoss', use_sigmoid=True)),
        ),
        {},
    ),
    'few_colours': (
        faster_rcnn(**MANY),
        dict(metainfo=dict(classes=('a', 'b', 'c'), palette=[(1, 2, 3)])),
    ),
    'one_class': (faster_rcnn(1), ONE),
    'one_dense_class': (dense('retinanet', 1), ONE),
    'fewer_names': (faster_rcnn(5, **MANY), {}),
}


@pytest.mark.parametrize('name', UNUSUAL)
def test_draws_what_is_unusual(name, drawn, tmp_path):
    cfg, dataset = UNUSUAL[name]
    ckpt = save_weights(cfg, tmp_path / 'teacher.pth', seed=5)
    is_detector = cfg['_scope_'] == 'mmdet'
    run = (detection_run if is_detector else classification_run)(
        distilled(cfg, cfg, ckpt),
        tmp_path,
        tmp_path / 'run',
        max_epochs=1,
        custom_hooks=[dict(HOOK, score_thr=0.0)],
    )
    run['train_dataloader']['dataset'].update(dataset)
    runner = train(run)
    assert 'is off' not in read_log(runner)
    names = ['detections', 'perception'] if is_detector else ['perception']
    expected = [f'{name}_{step}' for name in names for step in (0, 1)]
    assert list(pictures(runner)) == expected
    assert all(torch.isfinite(preds_S).all() for preds_S, _, _ in drawn)


def test_one_looks_at_a_head_as_it_trains_and_leaves_it_as_it_was(tmp_path):
    cfg = dense('vfnet')
    ckpt = save_weights(cfg, tmp_path / 'teacher.pth', seed=5)
    one = distiller(cfg, cfg, ckpt)
    one.init_weights()
    one.eval()
    seen = []
    head = one.student.bbox_head
    head.register_forward_hook(
        lambda *args: seen.append([module.training for module in head.modules()])
    )
    one.look(**one.data_preprocessor(detection_batch(), False))
    assert seen == [[True, *[False] * (len(seen[0]) - 1)]]  # itself, not its layers
    assert not any(module.training for module in one.modules())


def raising(*args, **kwargs):
    raise OSError(28, 'No space left on device')


@pytest.mark.parametrize(
    'target',
    [
        'mmengine.visualization.Visualizer.add_image',
        'luminet_mm.hooks.distill_visualization_hook.draw_perceptions',
        'luminet_mm.hooks.distill_visualization_hook.forked_rng',
        'luminet_mm.distillers.LogitDistiller.look',
        'luminet_mm.distillers.LogitDistiller._teach',
    ],
)
def test_a_failure_is_one_warning(target, monkeypatch, tmp_path):
    """And the training is the one without the hook, to the last bit."""
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth', seed=5)
    model = distilled(classifier(), classifier(), ckpt)
    trained = []
    for name, hooks in (('with', [HOOK]), ('without', [])):
        cfg = classification_run(model, tmp_path, tmp_path / name, custom_hooks=hooks)
        with monkeypatch.context() as patch:
            if name == 'with' and target.endswith('_teach'):
                break_within_look(patch)
            elif name == 'with':
                patch.setattr(target, raising)
            runner = train(augmented(cfg))
        trained.append((runner.model.state_dict(), torch.rand(1), np.random.rand()))
        assert read_log(runner).count('OSError: [Errno 28]') == (name == 'with')
        assert read_log(runner).count('Hook is off') == (name == 'with')
    (one, *draws), (other, *same_draws) = trained
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert draws == same_draws


def break_within_look(patch):
    """Fail in the middle of looking, and there only."""
    look, teach = LogitDistiller.look, LogitDistiller._teach

    def broken_look(self, *args, **kwargs):
        self.is_looked_at = True
        return look(self, *args, **kwargs)

    def broken_teach(self, *args):
        return (raising if hasattr(self, 'is_looked_at') else teach)(self, *args)

    patch.setattr(LogitDistiller, 'look', broken_look)
    patch.setattr(LogitDistiller, '_teach', broken_teach)


def test_reaches_every_backend(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    model = distilled(classifier(), classifier(), ckpt)
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    cfg = classification_run(
        model,
        tmp_path,
        tmp_path / 'run',
        custom_hooks=[HOOK],
        visualizer=dict(type='Visualizer', name='backends', vis_backends=backends),
    )
    runner = train(cfg)
    runner.visualizer.close()
    events = EventAccumulator(f'{runner.log_dir}/vis_data').Reload()
    images = events.Images('perception')
    assert [image.step for image in images] == [0, 1, 2]
    stored = pictures(runner)
    for image in images:
        pixels = cv2.imdecode(np.frombuffer(image.encoded_image_string, np.uint8), 1)
        assert np.array_equal(pixels, stored[f'perception_{image.step}'])


def test_lets_a_model_without_a_teacher_alone(tmp_path):
    cfg = classification_run(
        classifier(), tmp_path, tmp_path / 'run', custom_hooks=[HOOK], max_epochs=1
    )
    runner = train(cfg)
    assert not pictures(runner)
    assert 'draws nothing: a ImageClassifier has no teacher' in read_log(runner)


@pytest.mark.parametrize(
    ('name', 'value', 'error', 'wanted'),
    [
        ('interval', 0, ValueError, 'an integer of at least 1'),
        ('interval', '5', TypeError, 'an integer of at least 1; it is a text'),
        ('interval', 1.5, TypeError, 'an integer'),
        ('max_rows', 0, ValueError, 'an integer of at least 1'),
        ('num_images', -1, ValueError, 'an integer of at least 0'),
        ('num_images', True, TypeError, 'an integer'),
        ('score_thr', '0.3', TypeError, 'a finite number'),
        ('score_thr', 1.5, ValueError, 'of at least 0 and of at most 1'),
        ('score_thr', float('nan'), ValueError, 'a finite number'),
    ],
)
def test_refuses_wrong_arguments(name, value, error, wanted):
    key = f'DistillVisualizationHook.{name}={value!r}'
    with pytest.raises(error, match=f'{re.escape(key)} must be .*{wanted}'):
        HOOKS.build(dict(HOOK, **{name: value}))
