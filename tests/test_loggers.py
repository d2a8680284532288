"""``--logger``: one training, logged by three libraries at once."""

import json
import struct
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from test_tools import call, dump, weights
from tiny import classification_run, classifier, distilled, merged, save_weights

from luminet_mm.loggers import LOGGERS, log_to
from luminet_mm.registry import VISBACKENDS

STEPS, EPOCHS = range(1, 9), range(1, 3)  # sixteen images, four a batch
SCALARS = ('loss_cls', 'loss_luminet', 'teacher_share')
METRIC = 'accuracy/top1'
BACKENDS = [kind for kind, _, _ in LOGGERS.values()]


@pytest.fixture(scope='module')
def logged(tmp_path_factory):
    """Work dir of a distillation that was logged everywhere, beside 'plain'."""
    root = tmp_path_factory.mktemp('run')
    MessageHub.get_instance('loggers')  # of its own
    ckpt = save_weights(classifier(), root / 'teacher.pth', seed=5)
    model = distilled(classifier(), classifier(), ckpt)
    cfg = classification_run(model, root, root / 'logged', max_epochs=len(EPOCHS))
    dataset = merged(cfg['train_dataloader']['dataset'], dict(test_mode=True))
    sampler = dict(type='DefaultSampler', shuffle=False)
    cfg['val_dataloader'] = dict(batch_size=8, sampler=sampler, dataset=dataset)
    cfg.update(val_cfg=dict(), val_evaluator=dict(type='Accuracy'))
    cfg['default_hooks']['logger'] = dict(type='LoggerHook', interval=1)
    config = dump(cfg, root / 'config.py')
    call('train.py', config, *(f'--logger={name}' for name in LOGGERS))
    plain = ['experiment_name=plain', f'work_dir={root}/plain']
    call('train.py', config, '--cfg-options', *plain)
    return root / 'logged'


def pictures(logged):
    """What mmengine's own backend stored, by step."""
    paths = [*logged.glob('*/vis_data/vis_image/perception_*.png')]
    return {int(path.stem.split('_')[-1]): cv2.imread(str(path)) for path in paths}


def test_tensorboard_has_it(logged):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (path,) = logged.glob('*/vis_data/events.*')
    events = EventAccumulator(str(path)).Reload()
    for name in SCALARS:
        values = events.Scalars(name)
        assert [value.step for value in values] == [*STEPS]
        assert all(value.value > 0 for value in values)
    assert all(value.value < 1 for value in events.Scalars('teacher_share'))
    assert [value.step for value in events.Scalars(METRIC)] == [*EPOCHS]
    drawn = pictures(logged)
    images = events.Images('perception')
    assert [image.step for image in images] == sorted(drawn) == [0, *EPOCHS]
    for image in images:
        pixels = np.frombuffer(image.encoded_image_string, np.uint8)
        assert np.array_equal(cv2.imdecode(pixels, 1), drawn[image.step])


def wandb_records(path):
    """Records of an offline run: protobufs in a LevelDB log."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = path.read_bytes(), 7, b''  # behind the file's header
    while at < len(data):
        left = 32768 - at % 32768  # of this block
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from('<IHB', data, at)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # all of a record, or its end
            yield Record.FromString(whole)
            whole = b''


def test_wandb_has_it(logged):
    (run,) = logged.glob('*/vis_data/wandb/offline-run-*')
    (path,) = run.glob('*.wandb')
    records = [*wandb_records(path)]
    history = []
    for record in records:
        items = record.history.item
        if items:
            names = (item.key or '/'.join(item.nested_key) for item in items)
            values = (json.loads(item.value_json) for item in items)
            history.append(dict(zip(names, values)))

    def steps(name):
        return [row['step'] for row in history if name in row]

    for name in SCALARS:
        assert steps(name) == [*STEPS]
    assert steps(METRIC) == [*EPOCHS]
    stored = 'perception/path'
    assert steps(stored) == [0, *EPOCHS]
    drawn = pictures(logged)
    for row in history:
        if stored in row:
            picture = cv2.imread(str(run / 'files' / row[stored]))
            assert np.array_equal(picture, drawn[row['step']])
    axes = [record.metric for record in records if record.HasField('metric')]
    assert any(each.glob_name == '*' and each.step_metric == 'step' for each in axes)
    assert any(record.exit.ListFields() for record in records)  # it was ended


def test_mlflow_has_it(logged):
    import mlflow

    client = mlflow.MlflowClient(f'file://{logged}/mlruns')
    experiment = client.get_experiment_by_name('logged')
    (run,) = client.search_runs([experiment.experiment_id])
    for name in SCALARS:
        values = client.get_metric_history(run.info.run_id, name)
        assert [value.step for value in values] == [*STEPS]
    values = client.get_metric_history(run.info.run_id, METRIC)
    assert [value.step for value in values] == [*EPOCHS]
    (folder,) = logged.glob('mlruns/*/*/artifacts')
    names = {path.name for path in folder.rglob('*')}
    drawn = pictures(logged)
    assert names == {'config.py', *(f'perception_{step}.png' for step in drawn)}
    for step, picture in drawn.items():
        stored = cv2.imread(str(folder / f'perception_{step}.png'))
        assert np.array_equal(stored, picture)
    assert run.data.params['work_dir'] == str(logged)
    assert run.info.status == 'FINISHED'


def test_the_training_does_not_notice(logged):
    one, other = (
        weights(logged.parent / name, f'epoch_{EPOCHS[-1]}.pth')
        for name in ('logged', 'plain')
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert not [*(logged.parent / 'plain').rglob('*tfevents*')]


@pytest.mark.parametrize('kind', BACKENDS)
def test_what_fails_is_one_warning(kind, monkeypatch, tmp_path):
    """Of each backend, where its folder cannot be made."""
    said = []
    monkeypatch.setattr(
        'luminet_mm.never_stop.print_log', lambda text, **kwargs: said.append(text)
    )
    (tmp_path / 'file').touch()
    cfg = dict(type=f'luminet_mm.{kind}', save_dir=str(tmp_path / 'file' / 'logs'))
    backend = VISBACKENDS.build(cfg)
    for step in range(3):
        backend.add_config(Config(dict(a=1)))
        backend.add_scalars(dict(loss=1.0), step=step, file_path='a.json')
        backend.add_image('picture', np.zeros((2, 3, 3), np.uint8), step)
    backend.close()
    assert len(said) == 1
    assert f'{kind} is off for the rest of this run' in said[0]
    assert 'NotADirectoryError' in said[0]


@pytest.mark.parametrize('name', LOGGERS)
def test_a_missing_package_is_told_first(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, LOGGERS[name][1], None)
    cfg = Config(dict(work_dir=str(tmp_path), model=dict(type='ImageClassifier')))
    with pytest.raises(ValueError, match=f'--logger {name}: .*; pip install {name}'):
        log_to(cfg, name)
    with pytest.raises(ValueError, match="must be one of .*, did you mean 'wandb'"):
        log_to(cfg, 'wandbb')


def test_what_the_config_has_stays(tmp_path):
    own = dict(type='TensorboardVisBackend', save_dir='elsewhere')
    hook = dict(type='luminet_mm.DistillVisualizationHook', interval=7)
    cfg = Config(
        dict(
            work_dir=str(tmp_path),
            model=dict(type='luminet_mm.LogitDistiller'),
            visualizer=dict(type='Visualizer', vis_backends=[own]),
            custom_hooks=[hook],
        )
    )
    log_to(cfg, 'tensorboard')
    assert cfg.visualizer.vis_backends == [own]
    assert cfg.custom_hooks == [hook, dict(type='luminet_mm.TeacherShareHook')]
    plain = Config(dict(work_dir=str(tmp_path), model=dict(type='ImageClassifier')))
    log_to(plain, 'tensorboard')
    kinds = [backend.type for backend in plain.visualizer.vis_backends]
    assert kinds == ['LocalVisBackend', 'luminet_mm.TensorboardVisBackend']
    assert 'custom_hooks' not in plain
