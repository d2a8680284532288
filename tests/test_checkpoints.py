"""What is read from a checkpoint, and what is not done."""

import collections
import functools
import hashlib
import importlib
import io
import os
import pickle
import runpy
import shutil
import subprocess
import sys
import zipfile
from argparse import Namespace

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner import checkpoint as mmengine_checkpoint
from test_tools import tool
from tiny import build, classification_run, classifier, load_checkpoint
from torch import nn

from luminet_mm import checkpoints
from luminet_mm.checkpoints import (
    check_fits,
    find_resumable,
    read_checkpoint,
    use_safe_checkpoints,
    use_safe_loading,
)


class Calls:
    """Pickles as a call, and as what else ``__reduce__`` may return."""

    def __init__(self, function, *args, rest=()):
        self.reduced = (function, args, *rest)

    def __reduce__(self):
        return self.reduced

    def __call__(self):
        """Only what can be called may be pickled as a function."""


def in_bytes(obj):
    buffer = io.BytesIO()
    torch.save(obj, buffer)
    return buffer.getvalue()


def code(file):
    return f'open({file!r}, "w").close()'


def script(file):
    with open(f'{file}.py', 'w') as f:
        f.write(code(file))
    return f'{file}.py'


def attribute(module, name):
    return Calls(getattr, Calls(importlib.import_module, module), name)


# Objects that make a file when they are unpickled, and what their pickles name for it
EVIL = [
    ('posix.system', lambda file: Calls(os.system, f'touch {file}')),
    (
        'subprocess.check_call',
        lambda file: Calls(subprocess.check_call, ['touch', file]),
    ),
    ('builtins.eval', lambda file: Calls(eval, code(file))),
    ('builtins.exec', lambda file: Calls(exec, code(file))),
    ('io.open', lambda file: Calls(open, file, 'w')),
    ('builtins.getattr', lambda file: Calls(attribute('os', 'mkdir'), file)),
    ('importlib.import_module', lambda file: Calls(attribute('os', 'mkdir'), file)),
    ('builtins.map', lambda file: Calls(set, Calls(map, eval, [code(file)]))),
    ('functools.partial', lambda file: Calls(Calls(functools.partial, os.mkdir, file))),
    ('runpy.run_path', lambda file: Calls(runpy.run_path, script(file))),
    ('pickle.loads', lambda f: Calls(pickle.loads, pickle.dumps(Calls(os.mkdir, f)))),
    ('numpy.savetxt', lambda file: Calls(np.savetxt, file, [0.0])),
    ('torch.serialization.save', lambda file: Calls(torch.save, 0, file)),
    (
        'torch.storage._load_from_bytes',
        lambda f: Calls(torch.storage._load_from_bytes, in_bytes(Calls(os.mkdir, f))),
    ),
    # in the arguments, the state and the items of what is allowed
    ('posix.mkdir', lambda file: Calls(set, [Calls(os.mkdir, file)])),
    ('posix.mkdir', lambda f: Calls(HistoryBuffer, rest=(dict(a=Calls(os.mkdir, f)),))),
    (
        'builtins.eval',
        lambda file: Calls(
            collections.OrderedDict,
            rest=(None, None, iter([(1, Calls(eval, code(file)))])),
        ),
    ),
]


def whole(**parts):
    """A checkpoint with everything that a run saves."""
    return {
        **dict(
            meta=dict(epoch=1, iter=4, dataset_meta=dict(classes=('a', 'b'))),
            state_dict=collections.OrderedDict(weight=torch.ones(2, 3)),
            message_hub=dict(
                log_scalars=collections.OrderedDict(),
                runtime_info=collections.OrderedDict(),
                resumed_keys=collections.OrderedDict(),
            ),
            optimizer=dict(state={0: dict(momentum=torch.ones(2, 3))}),
        ),
        **parts,
    }


PLACES = dict(
    value=lambda evil: whole(evil=evil),
    weight=lambda evil: whole(state_dict=dict(weight=evil)),
    weights=lambda evil: whole(state_dict=evil),
    optimizer=lambda evil: whole(optimizer=dict(state={0: evil})),
    meta=lambda evil: whole(meta=dict(epoch=1, seed=evil)),
    message_hub=lambda evil: whole(message_hub=dict(runtime_info=[evil])),
    key=lambda evil: whole(**{'a': collections.Counter([1]), 'b': [(evil,)]}),
    all=lambda evil: evil,
)


@pytest.fixture
def warned(monkeypatch):
    """What the log says."""
    said = []
    monkeypatch.setattr(
        checkpoints, 'print_log', lambda text, **kwargs: said.append(text)
    )
    return said


def read_as_teacher(path, warned):
    """Read a file, and what is said of it, be it a warning or an error."""
    try:
        checkpoint = read_checkpoint(str(path), 'model.teacher_ckpt')
    except ValueError as error:
        return None, str(error)
    assert len(warned) <= 1
    return checkpoint, ''.join(warned)


@pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
@pytest.mark.parametrize(('name', 'make'), EVIL)
def test_evil_file_does_nothing_and_is_named(name, make, legacy, tmp_path, warned):
    done, path = tmp_path / 'done', tmp_path / 'evil.pth'
    checkpoint = whole(evil=make(str(done)))
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not legacy)
    read, said = read_as_teacher(path, warned)
    assert not done.exists()
    assert name in said
    assert str(path) in said
    assert read is None or torch.equal(read['state_dict']['weight'], torch.ones(2, 3))

    try:  # torch's own reading does it
        torch.load(path, weights_only=False)
    except Exception:
        pass
    assert done.exists()


@pytest.mark.parametrize('place', PLACES)
def test_evil_anywhere(place, tmp_path, warned):
    done, path = tmp_path / 'done', tmp_path / 'evil.pth'
    torch.save(PLACES[place](Calls(os.mkdir, str(done))), path)
    _, said = read_as_teacher(path, warned)
    assert not done.exists()
    assert 'posix.mkdir' in said


def write_zip(path, pickled, **records):
    """A file of torch's own form, of a given pickle."""
    with zipfile.ZipFile(path, 'w') as f:
        f.writestr('archive/data.pkl', pickled)
        f.writestr('archive/version', '3')
        for name, content in records.items():
            f.writestr(f'archive/{name}', content)


@pytest.mark.parametrize(
    ('name', 'owner'),
    [
        ('mmengine.logging.history_buffer HistoryBuffer', HistoryBuffer),
        ('torch._utils _rebuild_tensor_v2', torch._utils._rebuild_tensor_v2),
        ('collections OrderedDict', collections.OrderedDict),
        ('os system', os.system),
    ],
)
def test_nothing_outlives_the_reading(name, owner, tmp_path, warned):
    """No class and no function is given attributes."""
    state = pickle.dumps(dict(mean=1, __defaults__=(1,)), 0)[:-1]
    named = 'c{}\n{}\n'.format(*name.split()).encode()
    before = dict(vars(owner)) if hasattr(owner, '__dict__') else None
    for code in (state + b'b.', b'(N' + state + b'tb.'):  # attributes, slots
        write_zip(tmp_path / 'evil.pth', named + code)
        read, said = read_as_teacher(tmp_path / 'evil.pth', warned)
        assert read is None
        assert 'it sets the state of' in said
    assert before is None or dict(vars(owner)) == before


def test_statistics_of_logs_stay_mmengines(tmp_path, warned):
    """A HistoryBuffer's pickle carries methods, which it shares with all others."""
    HistoryBuffer()  # the first one adds the usual methods
    before = dict(HistoryBuffer._statistics_methods)
    log = Calls(
        HistoryBuffer, [1.0], [1], rest=(dict(statistics_methods=dict(mean=1)),)
    )
    torch.save(dict(log=log), tmp_path / 'evil.pth')
    read_as_teacher(tmp_path / 'evil.pth', warned)
    assert HistoryBuffer._statistics_methods == before


def test_types_of_arrays_stay_numpys(tmp_path, warned):
    """A dtype's pickle sets its state, and all arrays share the common dtypes."""
    dtype = Calls(
        np.dtype, 'f8', False, False, rest=((3, '>', None, None, None, -1, -1, 0),)
    )
    torch.save(dict(dtype=dtype), tmp_path / 'evil.pth')
    read, _ = read_as_teacher(tmp_path / 'evil.pth', warned)
    assert read['dtype'].byteorder == '>'
    assert np.dtype('f8').byteorder == '='


@pytest.mark.parametrize(
    ('name', 'state'),
    [
        ('O', (3, '|', None, None, None, -1, -1, 0)),  # no objects, says its last flag
        ('V8', (3, '|', None, ('a',), dict(a=(np.dtype('O'), 0)), 8, 1, 0)),
        ('f8', (3, '<', None, None, None, 1 << 40, 1, 0)),
    ],
)
def test_bytes_do_not_become_pointers(name, state, tmp_path, warned):
    dtype = Calls(np.dtype, name, False, True, rest=(state,))
    raw = (1, (1,), dtype, False, b'\x01' * 8)
    array = Calls(np.array(0).__reduce__()[0], np.ndarray, (0,), b'b', rest=(raw,))
    torch.save(dict(array=array), tmp_path / 'evil.pth')
    read, said = read_as_teacher(tmp_path / 'evil.pth', warned)
    assert read is None
    assert 'it makes another type of dtype' in said


def test_program_is_no_checkpoint(tmp_path, warned):
    path = tmp_path / 'program.pth'
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(path))
    _, said = read_as_teacher(path, warned)
    assert 'it is a TorchScript program' in said


@pytest.mark.parametrize(
    'content', [b'', b'PK\x03\x04', b'\x80\x02}q\x00.', b'<html>not found</html>']
)
def test_broken_file(content, tmp_path, warned):
    path = tmp_path / 'broken.pth'
    path.write_bytes(content)
    _, said = read_as_teacher(path, warned)
    assert f'model.teacher_ckpt={str(path)!r} cannot be read' in said


def assert_equal(one, other):
    """Equal to the last bit, through all containers."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        one, other = list(one.values()), list(other.values())
    if isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other):
            assert_equal(a, b)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, HistoryBuffer):
        assert_equal(list(one.data), list(other.data))
    else:
        assert one == other


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """What a run with everything leaves behind."""
    folder = tmp_path_factory.mktemp('trained')
    cfg = classification_run(
        classifier(),
        folder,
        folder / 'run',
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=3),
            dict(type='MultiStepLR', milestones=[1, 2]),
            dict(type='OneCycleLR', eta_max=0.1, total_steps=9, by_epoch=False),
        ],
        custom_hooks=[dict(type='EMAHook', momentum=0.5)],
    )
    cfg['optim_wrapper']['optimizer'] = dict(type='AdamW', lr=1e-3)
    Runner.from_cfg(Config(cfg)).train()
    return str(folder / 'run' / 'epoch_2.pth')


@pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
def test_genuine_mmengine_file(trained, legacy, tmp_path, warned):
    expected = torch.load(trained, weights_only=False)
    path = tmp_path / 'genuine.pth'
    torch.save(expected, path, _use_new_zipfile_serialization=not legacy)
    read, said = read_as_teacher(path, warned)
    assert said == ''
    assert_equal(read, expected)
    assert {'optimizer', 'param_schedulers', 'ema_state_dict', 'message_hub'} <= set(
        read
    )
    assert read['message_hub']['log_scalars']['train/loss'].statistics('mean') > 0
    assert read['state_dict']._metadata == expected['state_dict']._metadata


def test_genuine_file_of_mmcv_1(tmp_path, warned):
    """As mmdet 2 and mmcls 0.x wrote theirs, with numpy's scalars as best scores."""
    weights = collections.OrderedDict(weight=torch.ones(2, 3, dtype=torch.float16))
    weights._metadata = collections.OrderedDict({'': dict(version=1)})
    expected = dict(
        meta=dict(
            mmcv_version='1.3.3',
            mmdet_version='2.11.0+',
            config="model = dict(type='RetinaNet')\n",
            env_info='sys.platform: linux',
            seed=None,
            CLASSES=('person', 'car'),
            PALETTE=[(220, 20, 60), (119, 11, 32)],
            hook_msgs=dict(best_score=np.float64(0.4), best_ckpt='epoch_3.pth'),
            epoch=12,
            iter=87960,
            scores=np.arange(3.0),
            names=np.array(['a', None], dtype=object),
            texts=np.array(['a', 'bc']),
            big=np.arange(3, dtype='>i4'),
            raw=b'\x00\xff',
            more=[{1, 2}, frozenset('a'), range(3), 1j, slice(2), torch.Size([1])],
            dtype=torch.float16,
            device=torch.device('cpu'),
            cfg=ConfigDict(a=dict(b=1)),
        ),
        state_dict=weights,
        optimizer=dict(
            state={0: dict(momentum_buffer=torch.ones(2, 3))},
            param_groups=[dict(lr=0.01, params=[0])],
        ),
    )
    path = tmp_path / 'genuine.pth'
    torch.save(expected, path)
    read, said = read_as_teacher(path, warned)
    assert said == ''
    assert_equal(read, torch.load(path, weights_only=False))
    assert read['meta']['hook_msgs'] == expected['meta']['hook_msgs']
    assert read['state_dict']._metadata == weights._metadata


def test_foreign_metadata_is_left_out(tmp_path, warned):
    """DETR's and DeiT's files hold their arguments; the weights are what counts."""
    path = tmp_path / 'deit.pth'
    torch.save(dict(model=dict(w=torch.ones(2)), args=Namespace(lr=1)), path)
    read, said = read_as_teacher(path, warned)
    assert 'argparse.Namespace' in said
    assert torch.equal(read['model']['w'], torch.ones(2))
    torch.save(read, path)  # and can be saved again
    assert read_checkpoint(str(path), 'key')['args'] == '<argparse.Namespace, left out>'


def test_safetensors(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    path = str(tmp_path / 'weights.safetensors')
    save_file(dict(w=torch.ones(2, dtype=torch.float16)), path)
    assert_equal(read_checkpoint(path, 'k'), dict(w=torch.ones(2, dtype=torch.float16)))

    for name in [name for name in sys.modules if name.split('.')[0] == 'safetensors']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'safetensors', None)  # not installed
    with pytest.raises(ImportError, match=r'^k=.*safetensors.*pip install safetensors'):
        read_checkpoint(path, 'k')


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A zoo on this disk: gives the URL of a file, and counts the downloads."""

    def download(url, path, *args, **kwargs):
        downloads.append(url)
        shutil.copy(tmp_path / 'zoo' / url.split('/')[-1], path)

    def publish(obj, name='model-{}.pth', digest=None):
        (tmp_path / 'zoo').mkdir(exist_ok=True)
        torch.save(obj, tmp_path / 'file')
        content = (tmp_path / 'file').read_bytes()
        name = name.format(digest or hashlib.sha256(content).hexdigest()[:8])
        (tmp_path / 'zoo' / name).write_bytes(content)
        return f'https://zoo.invalid/{name}'

    downloads = publish.downloads = []
    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'cache'))
    return publish


def test_download_is_checked(zoo, tmp_path):
    url = zoo(dict(w=1))
    assert read_checkpoint(url, 'k') == read_checkpoint(url, 'k') == dict(w=1)
    assert zoo.downloads == [url]
    for name in ('plain.pth', 'model_20200130.pth', 'r50-3x.pth', 'a-{}x.pth'):
        assert read_checkpoint(zoo(dict(w=2), name), 'k') == dict(w=2)

    url = zoo(dict(w=3), digest='0123abcd')
    with pytest.raises(ValueError, match=f'^model.teacher_ckpt={url!r}.*says 0123abcd'):
        read_checkpoint(url, 'model.teacher_ckpt')
    # nor is what another program has put there
    url = zoo(dict(w=4))
    (tmp_path / 'cache' / 'checkpoints' / url.split('/')[-1]).write_bytes(b'half')
    with pytest.raises(ValueError, match='delete it to download it again'):
        read_checkpoint(url, 'k')


def test_url_of_a_file_backend(tmp_path, monkeypatch):
    content = in_bytes(dict(w=1))
    monkeypatch.setattr(checkpoints, 'get', {'s3://b/a.pth': content}.get)
    assert read_checkpoint('s3://b/a.pth', 'k') == dict(w=1)


@pytest.fixture
def safe_loading(monkeypatch):
    """mmengine's readers are those of other tests again afterwards."""
    loader = mmengine_checkpoint.CheckpointLoader
    monkeypatch.setattr(loader, '_schemes', dict(loader._schemes))
    monkeypatch.setattr(mmengine_checkpoint, 'load_from_http', None)
    use_safe_loading()


def test_mmengine_reads_data_alone(safe_loading, zoo, tmp_path, warned, monkeypatch):
    """load_from, resume and init_cfg, by a path, a URL or the zoos' own names."""
    done = tmp_path / 'done'
    evil = whole(evil=Calls(os.mkdir, str(done)))
    url = zoo(evil)
    models = 'get_torchvision_models', 'get_external_models', 'get_mmcls_models'
    for name in models:
        monkeypatch.setattr(mmengine_checkpoint, name, lambda: {'r18': url})
    names = str(tmp_path / 'file'), url, 'torchvision://r18', 'open-mmlab://r18'
    for name in (*names, 'mmcls://r18'):
        read = CheckpointLoader.load_checkpoint(name, map_location='cpu')
        assert 'state_dict' in read
        assert 'posix.mkdir' in warned.pop()
    model = nn.Linear(3, 2)
    mmengine_checkpoint.load_checkpoint(model, url)
    assert torch.equal(model.weight, torch.ones(2, 3))
    assert not done.exists()


def test_resuming_runs_no_config(safe_loading, trained, tmp_path):
    """Runner.resume would run the text of meta.config."""
    checkpoint = torch.load(trained, weights_only=False)
    checkpoint['meta']['config'] = f'import os; os.mkdir({str(tmp_path / "done")!r})'
    torch.save(checkpoint, tmp_path / 'evil.pth')
    cfg = resumed_run(trained, tmp_path, load_from=str(tmp_path / 'evil.pth'))
    Runner.from_cfg(cfg).train()
    assert not (tmp_path / 'done').exists()


def resumed_run(trained, tmp_path, **overrides):
    """The config of the run of :func:`trained`, from its file."""
    cfg = Config.fromstring(
        torch.load(trained, weights_only=False)['meta']['cfg'], '.py'
    )
    cfg.merge_from_dict(dict(resume=True, work_dir=str(tmp_path / 'resumed')))
    cfg.merge_from_dict(dict(experiment_name=str(tmp_path).replace('/', '_')))
    cfg.merge_from_dict(overrides)
    return cfg


def save_run(work_dir, steps=(1, 2, 3), last='epoch_3.pth'):
    """The files of a run, as old as their numbers, and what last_checkpoint names."""
    work_dir.mkdir()
    best = whole()
    del best['optimizer']
    files = {f'epoch_{step}.pth': whole() for step in steps}
    files.update({'best_accuracy.pth': best, 'teacher.pth': dict(state_dict={})})
    for time, (name, checkpoint) in enumerate(files.items()):
        torch.save(checkpoint, work_dir / name)
        os.utime(work_dir / name, (time, time))
    if last is not None:
        (work_dir / 'last_checkpoint').write_text(last and str(work_dir / last))
    return str(work_dir)


def test_resumes_from_what_last_checkpoint_names(tmp_path, warned):
    work_dir = save_run(tmp_path / 'run', last='epoch_2.pth')
    assert find_resumable(work_dir) == f'{work_dir}/epoch_2.pth'
    assert not warned
    assert find_resumable(str(tmp_path / 'nowhere')) is None


@pytest.mark.parametrize('last', ['', 'epoch_4.pth', None], ids=repr)
def test_resumes_from_the_newest_file(last, tmp_path, warned):
    """Where last_checkpoint is empty, names a missing file, or is missing itself."""
    work_dir = save_run(tmp_path / 'run', last=last)
    assert find_resumable(work_dir) == f'{work_dir}/epoch_3.pth'
    assert f'goes on from {work_dir}/epoch_3.pth, the newest' in warned[-1]


def test_resumes_from_the_newest_whole_file(tmp_path, warned):
    work_dir = save_run(tmp_path / 'run')
    for name in ('epoch_3.pth', 'epoch_2.pth'):
        os.truncate(f'{work_dir}/{name}', 1000)
    assert find_resumable(work_dir) == f'{work_dir}/epoch_1.pth'
    said = '\n'.join(warned)
    assert f"'{work_dir}/epoch_3.pth' cannot be read" in said
    assert (
        f"'{work_dir}/epoch_3.pth', so the run goes on from {work_dir}/epoch_1" in said
    )


def safe_cfg(tmp_path, resume=None, **cfg):
    cfg = Config(dict(work_dir=str(tmp_path / 'run'), **cfg))
    use_safe_checkpoints(cfg, resume)
    return cfg


def test_a_run_of_any_config_is_safe(safe_loading, tmp_path):
    ours = 'luminet_mm.SafeCheckpointHook'
    assert safe_cfg(tmp_path).default_hooks.checkpoint == dict(type=ours, interval=1)
    for kind in ('CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook):
        hooks = dict(checkpoint=dict(type=kind, interval=7, save_best='auto'))
        hook = safe_cfg(tmp_path, default_hooks=hooks).default_hooks.checkpoint
        assert hook == dict(type=ours, interval=7, save_best='auto')
    for hook in (None, dict(type='Other')):
        cfg = safe_cfg(tmp_path, default_hooks=dict(checkpoint=hook))
        assert cfg.default_hooks.checkpoint == hook


def test_what_a_run_starts_from(safe_loading, tmp_path):
    """Without a file in its work dir it starts from what its config names."""
    for resume in (None, 'auto'):
        cfg = safe_cfg(tmp_path, resume, load_from='pretrained.pth')
        assert (cfg.get('resume', False), cfg.load_from) == (False, 'pretrained.pth')
    cfg = Config(dict(work_dir=str(tmp_path / 'run'), resume=True))
    use_safe_checkpoints(cfg)
    assert not cfg.resume
    work_dir = save_run(tmp_path / 'run')
    for cfg in (
        safe_cfg(tmp_path, 'auto', load_from='pretrained.pth'),
        Config(dict(work_dir=work_dir, resume=True)),
    ):
        use_safe_checkpoints(cfg, None)
        assert (cfg.resume, cfg.load_from) == (True, f'{work_dir}/epoch_3.pth')
    cfg = safe_cfg(tmp_path, 'other.pth')
    assert (cfg.resume, cfg.load_from) == (True, 'other.pth')


def test_tools_read_data_alone_and_find_the_newest_file(tmp_path):
    """Training from an evil file, resuming without last_checkpoint, and testing."""
    done = tmp_path / 'done'
    torch.save(whole(evil=Calls(os.mkdir, str(done))), tmp_path / 'evil.pth')
    load_from = str(tmp_path / 'evil.pth')
    cfg = classification_run(
        classifier(), tmp_path, tmp_path / 'run', max_epochs=1, load_from=load_from
    )
    cfg['test_dataloader'] = cfg['train_dataloader']
    cfg.update(test_cfg=dict(), test_evaluator=dict(type='Accuracy'))
    config = tmp_path / 'config.py'
    Config(cfg).dump(config)
    assert 'posix.mkdir' in tool('train.py', config)
    (tmp_path / 'run' / 'last_checkpoint').write_text('')
    said = tool(
        'train.py', config, '--resume', '--cfg-options', 'train_cfg.max_epochs=2'
    )
    assert f"names '', so the run goes on from {tmp_path}/run/epoch_1" in said
    assert (tmp_path / 'run' / 'last_checkpoint').read_text().endswith('epoch_2.pth')
    checkpoint = load_checkpoint(tmp_path / 'run' / 'epoch_2.pth')
    assert len(checkpoint['message_hub']['log_scalars']['train/loss'].data[0]) == 8
    checkpoint['evil'] = Calls(os.mkdir, str(done))
    torch.save(checkpoint, tmp_path / 'evil.pth')
    assert 'posix.mkdir' in tool('test.py', config, tmp_path / 'evil.pth')
    assert not done.exists()


def test_what_only_training_needs_may_be_of_another_shape():
    """As of a student that is tested by the config of another distillation."""
    model = build(classifier())
    loss = nn.Linear(2, 3)
    model.distill_losses = nn.ModuleDict(dict(loss_x=loss))
    state_dict = model.state_dict()
    state_dict['distill_losses.loss_x.weight'] = torch.ones(5, 5)
    state_dict['distill_losses.loss_y.weight'] = torch.ones(1)
    del state_dict['distill_losses.loss_x.bias']
    check_fits(model, dict(state_dict=state_dict), 'file.pth', 'config.py')
    state_dict['head.fc.weight'] = torch.ones(5, 5)
    with pytest.raises(ValueError, match='file.pth is not .* of config.py, .*head.fc'):
        check_fits(model, dict(state_dict=state_dict), 'file.pth', 'config.py')
