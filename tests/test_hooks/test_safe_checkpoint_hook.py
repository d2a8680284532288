"""A run keeps good checkpoints only, and loses none."""

import hashlib
import os
from types import SimpleNamespace

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import METRICS, OPTIM_WRAPPERS
from mmengine.runner import Runner
from test_checkpoints import assert_equal
from test_tools import distributed_env, free_port
from tiny import (
    classification_run,
    classifier,
    distilled,
    load_checkpoint,
    save_weights,
)

from luminet_mm.compat import setup_cpu_distributed
from luminet_mm.hooks import SafeCheckpointHook, safe_checkpoint_hook
from luminet_mm.registry import HOOKS

OURS = 'luminet_mm.SafeCheckpointHook'


@HOOKS.register_module(force=True)
class SpoilHook(Hook):
    """Spoils the loss, or the weights after a step, in some iterations of a process."""

    def __init__(self, what, iterations, rank=0):
        self.what, self.iterations, self.rank = what, iterations, rank

    def is_due(self, runner):
        return runner.iter + 1 in self.iterations and get_rank() == self.rank

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = getattr(runner.model, 'module', runner.model)
        spoilt = self.what == 'loss' and self.is_due(runner)
        head = getattr(model, 'student', model).head
        head.loss_module.loss_weight = float('nan') if spoilt else 1.0

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.what == 'weights' and self.is_due(runner):
            with torch.no_grad():  # as a step with a huge learning rate would
                next(runner.model.parameters()).view(-1)[0] = float('inf')


@METRICS.register_module(force=True)
class Better(BaseMetric):
    """Two scores that are better in each epoch."""

    default_prefix = 'score'
    epoch = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        self.epoch += 1
        return dict(acc=self.epoch, loss=-self.epoch)


@OPTIM_WRAPPERS.register_module(force=True)
class ScaledOptimWrapper(OptimWrapper):
    """Skips steps as AmpOptimWrapper does, which does so on GPUs only."""

    loss_scaler = SimpleNamespace(is_enabled=lambda: True)

    def update_params(self, loss):
        if loss.isfinite():
            super().update_params(loss)


def small(depth=18, num_classes=5):
    """A model whose file is small."""
    return classifier(
        num_classes,
        backbone=dict(depth=depth, base_channels=2, stem_channels=2),
        head=dict(in_channels=16),
    )


def run_cfg(tmp_path, name='run', hook=None, spoil=None, model=None, **overrides):
    """Four iterations an epoch, tested on the same images."""
    hooks = overrides.pop('custom_hooks', [])
    if spoil:
        hooks = [*hooks, dict(type='luminet_mm.SpoilHook', **spoil)]
    cfg = classification_run(
        model or small(), tmp_path, tmp_path / name, custom_hooks=hooks, **overrides
    )
    cfg['default_hooks']['checkpoint'].update({'type': OURS, **(hook or {})})
    cfg.update(
        val_dataloader=dict(cfg['train_dataloader'], sampler=SAMPLER),
        val_cfg=dict(),
        val_evaluator=dict(type='Better'),
    )
    return cfg


SAMPLER = dict(type='DefaultSampler', shuffle=False)


def train(*args, **kwargs):
    cfg = run_cfg(*args, **kwargs)
    Runner.from_cfg(Config(cfg)).train()


def files(folder):
    return sorted(f for f in os.listdir(folder) if f.endswith(('.pth', '.part')))


def last(tmp_path, name='run'):
    """The file that last_checkpoint names, read."""
    return load_checkpoint((tmp_path / name / 'last_checkpoint').read_text())


def test_loss_that_is_not_finite_ends_the_run(tmp_path):
    message = (
        r'^loss=nan in iteration 6: the run ends before that reaches a checkpoint '
        r'\(the last one is .*epoch_1.pth\). Lower the learning rate'
    )
    with pytest.raises(FloatingPointError, match=message):
        train(tmp_path, spoil=dict(what='loss', iterations=[6]))
    assert files(tmp_path / 'run') == ['epoch_1.pth']
    assert last(tmp_path)['meta']['epoch'] == 1


def test_names_the_loss(tmp_path):
    ckpt = save_weights(small(), tmp_path / 'teacher.pth')
    model = distilled(small(), small(), ckpt)
    model['distill_losses']['loss_luminet']['loss_weight'] = 1e38
    with pytest.raises(FloatingPointError, match=r'loss_luminet=(nan|inf).* iteration'):
        train(tmp_path, model=model)
    assert files(tmp_path / 'run') == []


@pytest.mark.parametrize('lr', [1e6, 1e20])
def test_huge_learning_rate_leaves_no_broken_file(lr, tmp_path):
    with pytest.raises(FloatingPointError):
        train(tmp_path, max_epochs=30, optim_wrapper=dict(optimizer=dict(lr=lr)))
    for file in files(tmp_path / 'run'):
        weights = load_checkpoint(tmp_path / 'run' / file)['state_dict']
        assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize('hook', [{}, dict(by_epoch=False, interval=4)], ids=str)
def test_weights_that_are_not_finite_are_not_written(hook, tmp_path):
    """The last step of an epoch blew up, and no loss tells of it."""
    spoil = dict(what='weights', iterations=[8])
    message = r'^backbone.conv1.weight holds nan or inf: the run ends'
    with pytest.raises(FloatingPointError, match=message):
        train(tmp_path, hook=dict(max_keep_ckpts=1, **hook), spoil=spoil)
    assert files(tmp_path / 'run') == ['iter_4.pth' if hook else 'epoch_1.pth']
    weights = last(tmp_path)['state_dict'].values()
    assert all(value.isfinite().all() for value in weights)


def test_masks_may_hold_infinity(tmp_path, monkeypatch):
    build = Runner.build_model

    def build_with_mask(self, model):
        model = build(self, model)
        model.register_buffer('mask', torch.tensor([0.0, -float('inf')]))
        return model

    monkeypatch.setattr(Runner, 'build_model', build_with_mask)
    train(tmp_path)
    assert last(tmp_path)['state_dict']['mask'].tolist() == [0, -float('inf')]


def test_loss_scaler_may_skip_some_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_checkpoint_hook, 'PATIENCE', 3)
    wrapper = dict(type='ScaledOptimWrapper')
    spoil = dict(what='loss', iterations=[2, 3, 5, 6])
    train(tmp_path, spoil=spoil, optim_wrapper=wrapper)
    assert last(tmp_path)['meta']['epoch'] == 2
    spoil = dict(what='loss', iterations=[4, 5, 6, 7])
    with pytest.raises(FloatingPointError, match='loss=nan in iteration 6'):
        train(tmp_path, 'more', spoil=spoil, optim_wrapper=wrapper)
    assert files(tmp_path / 'more') == ['epoch_1.pth']


def train_process(rank, tmp_path, port):
    os.environ.update(distributed_env(rank, port))
    spoil = dict(what='loss', iterations=[2], rank=1)
    cfg = Config(run_cfg(tmp_path, spoil=spoil, batch_size=2, launcher='pytorch'))
    setup_cpu_distributed(cfg)
    try:
        Runner.from_cfg(cfg).train()
    except FloatingPointError as error:
        (tmp_path / f'error{rank}').write_text(str(error))
    os._exit(0)  # see tests/test_losses/test_sync_stats.py


def test_processes_end_together(tmp_path):
    """One whose loss is finite does not wait for the other for ever."""
    run_cfg(tmp_path)  # writes the images, which two processes would do at once
    mp.spawn(train_process, (tmp_path, free_port()), nprocs=2)
    # with the other's gradients, the first has lost its weights, too
    for rank, iteration in ((0, 3), (1, 2)):
        said = (tmp_path / f'error{rank}').read_text()
        assert said.startswith(f'loss=nan in iteration {iteration}')
    assert files(tmp_path / 'run') == []


SETTINGS = dict(
    one=dict(max_keep_ckpts=1),
    two=dict(max_keep_ckpts=2, filename_tmpl='step_{}.pth'),
    rare=dict(interval=2),
    by_iter=dict(by_epoch=False, interval=3, max_keep_ckpts=2),
    weights=dict(save_optimizer=False, save_param_scheduler=False),
    best=dict(save_best='auto', max_keep_ckpts=1),
    bests=dict(save_best=['score/acc', 'score/loss'], max_keep_ckpts=1),
    not_last=dict(interval=2, save_last=False, save_best='score/acc'),
)


def kept_files(folder, work_dir):
    """What a run has left in a folder: weights, states and the hook's own notes."""
    found = {}
    for name in files(folder):
        checkpoint = load_checkpoint(folder / name)
        parts = ('state_dict', 'optimizer', 'param_schedulers')
        info = checkpoint['message_hub']['runtime_info']
        notes = {
            key: str(value).replace(str(work_dir), '')
            for key, value in info.items()
            if 'ckpt' in key or 'best' in key
        }
        found[name] = [notes, *map(checkpoint.get, parts)]
    note = work_dir / 'last_checkpoint'
    return found, note.exists() and note.read_text().replace(str(work_dir), '')


@pytest.mark.parametrize('setting', SETTINGS)
def test_keeps_what_mmengine_keeps(setting, tmp_path):
    """The same files with the same contents."""
    kept = []
    for kind in ('CheckpointHook', OURS):
        folder = tmp_path / kind
        train(folder, max_epochs=3, hook=dict(type=kind, **SETTINGS[setting]))
        kept.append(kept_files(folder / 'run', folder / 'run'))
    theirs, ours = kept
    assert ours[1] == theirs[1]
    assert_equal(ours[0], theirs[0])


def test_writes_to_another_folder(tmp_path):
    train(tmp_path, max_epochs=3, hook=dict(max_keep_ckpts=1, out_dir=str(tmp_path)))
    # a folder of the run's name within, as mmengine has it: here the work dir itself
    assert files(tmp_path / 'run') == ['epoch_3.pth']


def test_publishes_under_the_hash_of_the_file(tmp_path):
    train(tmp_path, max_epochs=1, hook=dict(published_keys=['meta', 'state_dict']))
    published, whole = files(tmp_path / 'run')
    content = (tmp_path / 'run' / published).read_bytes()
    assert published == f'epoch_1-{hashlib.sha256(content).hexdigest()[:8]}.pth'
    read = load_checkpoint(tmp_path / 'run' / published)
    assert list(read) == ['meta', 'state_dict']
    expected = load_checkpoint(tmp_path / 'run' / whole)['state_dict']
    assert_equal(read['state_dict'], expected)


class Killed(BaseException):
    """As a kill: nobody catches it."""


BEST = dict(save_best='score/acc')


@pytest.mark.parametrize(
    ('owner', 'name', 'hook'),
    [
        (torch, 'save', {}),  # before anything is written
        (os, 'fsync', {}),  # while the file is written
        (os, 'replace', {}),  # before it is moved to its place
        (SafeCheckpointHook, '_remove', {}),  # before the old one is deleted
        (os, 'replace', BEST),
        (SafeCheckpointHook, '_remove', BEST),
    ],
)
def test_a_kill_loses_nothing(owner, name, hook, tmp_path, monkeypatch):
    """Whatever is going on in epoch 2, the run goes on from a whole file."""
    hook = dict(max_keep_ckpts=1, **hook)

    def at_epoch_2(*args, **kwargs):
        if running.epoch:
            raise Killed
        return original(*args, **kwargs)

    running = Runner.from_cfg(Config(run_cfg(tmp_path, hook=hook, max_epochs=2)))
    original = getattr(owner, name)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, at_epoch_2)
        with pytest.raises(Killed):
            running.train()
    assert last(tmp_path)['meta']['epoch'] in (1, 2)
    assert not any(file.endswith('.part') for file in files(tmp_path / 'run'))
    train(tmp_path, hook=hook, max_epochs=2, resume=True)
    assert last(tmp_path)['meta']['epoch'] == 2
    assert 'epoch_2.pth' in files(tmp_path / 'run')


def test_full_disk_leaves_the_last_file(tmp_path, monkeypatch):
    def write(data, path):
        if 'epoch_2' in path:
            raise OSError(28, 'No space left on device')
        original(data, path)

    original = safe_checkpoint_hook.write_whole
    monkeypatch.setattr(safe_checkpoint_hook, 'write_whole', write)
    with pytest.raises(OSError, match='No space left'):
        train(tmp_path, hook=dict(max_keep_ckpts=1))
    assert files(tmp_path / 'run') == ['epoch_1.pth']
    assert last(tmp_path)['meta']['epoch'] == 1


EMA = [dict(type='EMAHook', momentum=0.5)]


@pytest.mark.parametrize('hooks', [[], EMA], ids=['plain', 'ema'])
def test_resumed_run_equals_an_uninterrupted_one(hooks, tmp_path):
    train(tmp_path, 'whole', max_epochs=2, custom_hooks=hooks)
    train(tmp_path, 'parts', max_epochs=1, custom_hooks=hooks)
    train(tmp_path, 'parts', max_epochs=2, custom_hooks=hooks, resume=True)
    whole, parts = (last(tmp_path, name) for name in ('whole', 'parts'))
    for part in {'state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'}:
        assert_equal(parts.get(part), whole.get(part))
    losses = (c['message_hub']['log_scalars']['train/loss'] for c in (parts, whole))
    assert_equal(*losses)


def test_resumes_a_checkpoint_of_its_own_model_only(tmp_path):
    train(tmp_path, max_epochs=1)
    path = f'{tmp_path}/run/epoch_1.pth'
    wide = small(num_classes=7)
    message = (
        f'^resume: {path!r} is the checkpoint of another model than this run trains: '
        r'2 tensors differ, head.fc.weight \(5, 16\) instead of \(7, 16\); head.fc.bias'
    )
    with pytest.raises(ValueError, match=message):
        train(tmp_path, model=wide, resume=True)
    with pytest.raises(ValueError, match=r'tensors differ, .* missing instead of'):
        train(tmp_path, model=small(depth=34), resume=True)
    train(tmp_path, 'other', model=wide, load_from=path)  # as upstream: what fits

    weights = load_checkpoint(path)
    del weights['message_hub']
    torch.save(weights, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match='since it has no message_hub; load_from'):
        train(tmp_path, resume=True, load_from=str(tmp_path / 'weights.pth'))
