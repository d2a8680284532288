"""Pictures during a training, which must not notice them."""

import glob
import random

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from test_tools import dump, tool, weights
from tiny import (
    classification_run,
    classifier,
    dense,
    detection_run,
    distilled,
    faster_rcnn,
    mask_rcnn,
    save_weights,
)

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


def test_one_process_of_two_draws(tmp_path):
    """And none waits for ever: ATSS's loss takes its mean over all processes."""
    ckpt = save_weights(dense('atss'), tmp_path / 'teacher.pth', seed=5)
    model = distilled(dense('atss'), dense('atss'), ckpt)
    trained = []
    for name, hooks in (('with', [HOOK]), ('without', [])):
        cfg = detection_run(model, tmp_path, tmp_path / name, custom_hooks=hooks)
        cfg['optim_wrapper'].update(type='OptimWrapper')
        config = dump(cfg, tmp_path / f'{name}.py')
        tool('dist_train.sh', config, 2, '--cfg-options', 'train_cfg.max_epochs=1')
        trained.append(weights(tmp_path / name))
    one, other = trained
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    stored = tmp_path.glob('with/*/vis_data/vis_image/*.png')
    assert sorted(path.name for path in stored) == [
        f'{name}_{step}.png' for name in ('detections', 'perception') for step in (0, 1)
    ]


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
    with open(glob.glob(f'{runner.log_dir}/*.log')[0]) as file:
        assert 'draws nothing: a ImageClassifier has no teacher' in file.read()


def test_refuses_an_interval_of_nothing():
    with pytest.raises(ValueError, match='interval=0 must be at least 1'):
        HOOKS.build(dict(HOOK, interval=0))
