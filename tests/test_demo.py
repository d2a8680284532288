"""The parts of tools/demo.py that decide what is done again, and the report."""

import importlib.util
import json
import os.path as osp

import pytest
import torch
from mmengine import dump
from mmengine.config import Config

from luminet_mm.cfg_options import parse_value

ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))


@pytest.fixture(scope='module')
def tool():
    path = osp.join(ROOT, 'tools', 'demo.py')
    spec = importlib.util.spec_from_file_location('demo', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def demo(tool, tmp_path):
    return tool.Demo(str(tmp_path / 'work'), str(tmp_path / 'data'), seed=0)


def add_log(folder, *times):
    folder.mkdir(parents=True)
    lines = [json.dumps(dict(loss=1.0, time=time)) for time in times]
    lines.append(json.dumps({'coco/bbox_mAP': 0.5, 'time': 100.0}))
    (folder / 'scalars.json').write_text('\n'.join(lines) + '\n')


def test_training_time_is_that_of_all_starts(tool, tmp_path):
    add_log(tmp_path / '20260101_000000' / 'vis_data', 0.5, 0.3)
    add_log(tmp_path / '20260102_000000' / 'vis_data', 0.2)
    assert tool.training_time(str(tmp_path), interval=10) == pytest.approx(10)


def test_time_is_logged_without_gaps(tool):
    """What training_time adds up: windows that neither overlap nor leave out."""
    schedule = tool.SCHEDULE
    interval = schedule.default_hooks.logger.interval
    assert schedule.log_processor.window_size == interval
    num_train = tool.write_digit_scenes.__defaults__[1]
    assert num_train % (interval * schedule.train_dataloader.batch_size) == 0


def test_a_training_is_complete_with_its_last_checkpoint(tool, demo, tmp_path):
    folder = tmp_path / 'work' / 'student'
    folder.mkdir(parents=True)
    assert not demo.is_trained('student')
    last = tool.SCHEDULE.train_cfg.max_epochs
    (folder / 'last_checkpoint').write_text(f'/elsewhere/epoch_{last - 1}.pth')
    # The file is there before it is whole; last_checkpoint names it after that
    (folder / f'epoch_{last}.pth').write_bytes(b'')
    assert not demo.is_trained('student')
    (folder / 'last_checkpoint').write_text(f'/elsewhere/epoch_{last}.pth')
    assert demo.is_trained('student')


def test_the_latest_test_counts(demo, tmp_path):
    assert demo.metrics('kd') is None
    for name, value in ('20260101_000000', 0.1), ('20260102_000000', 0.2):
        folder = tmp_path / 'work' / 'kd' / 'test' / name
        folder.mkdir(parents=True)
        dump({'coco/bbox_mAP': value}, str(folder / f'{name}.json'))
    assert demo.metrics('kd') == {'coco/bbox_mAP': 0.2}


def test_results_of_another_seed_are_refused(tool, demo):
    demo.check_settings()
    demo.check_settings()
    other = tool.Demo(demo.work_dir, demo.data_root, seed=1)
    with pytest.raises(SystemExit, match='another --work-dir'):
        other.check_settings()


def test_data_of_another_seed_is_refused(tool, demo, tmp_path):
    folder = tmp_path / 'data' / 'annotations'
    folder.mkdir(parents=True)
    dump(dict(info=dict(seed=1)), str(folder / 'instances_test.json'))
    with pytest.raises(SystemExit, match='seed 1, not 0'):
        demo.make_data()


def test_a_failing_tool_shows_its_last_words(demo):
    with pytest.raises(SystemExit, match='no such checkpoint'):
        demo.call('student', 'test.py', 'config.py', 'missing.pth')


@pytest.mark.parametrize('folder', ['my runs', "it's, [really] (mine)", '[1]'])
def test_paths_reach_the_tools_whole(tool, folder, monkeypatch):
    calls = []
    monkeypatch.setattr(tool.Demo, 'call', lambda self, name, *args: calls.append(args))
    monkeypatch.setattr(tool.Demo, 'metrics', lambda *args: {'coco/bbox_mAP': 0.5})
    demo = tool.Demo(f'{folder}/results', f'{folder}/data', seed=0)
    demo.train_and_test('luminet')
    (arguments,) = calls
    values = arguments[arguments.index('--cfg-options') + 1 :]
    options = dict(value.split('=', 1) for value in values)
    assert {key: parse_value(value) for key, value in options.items()} == {
        'data_root': f'{folder}/data',
        'randomness.seed': 0,
        'model.teacher_ckpt': demo.checkpoint('teacher'),
    }
    assert f'{folder}/results/luminet' in arguments


def test_detections_above_the_threshold_are_judged(tool):
    predictions = dict(
        img_id=3,
        pred_instances=dict(
            bboxes=torch.tensor([[10.0, 10, 30, 40], [0, 0, 5, 5]]),
            labels=torch.tensor([7, 7]),
            scores=torch.tensor([0.9, 0.1]),
        ),
    )
    (found,) = tool.detections([predictions])
    assert found == dict(image_id=3, category_id=7, bbox=[10, 10, 20, 30])
    truth = [dict(image_id=3, category_id=7, bbox=[11, 11, 20, 30])]
    assert tool.is_right(found, truth)
    assert not tool.is_right(dict(found, category_id=1), truth)
    assert not tool.is_right(dict(found, bbox=[25, 10, 20, 30]), truth)


def test_the_table_is_aligned(tool):
    row = dict(
        model='student alone',
        AP=37.84,
        AP50=62.7,
        AP75=42.0,
        params=720000,
        weights_mb=2.9,
        train_seconds=130,
    )
    lines = tool.format_table([row, dict(row, model='teacher')]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert '37.8' in lines[2] and '0.72 M' in lines[2] and '2.2 min' in lines[2]


@pytest.mark.parametrize('name', ['teacher', 'student', 'kd', 'luminet'])
def test_the_configs_agree(tool, name):
    """All four see the same data for the same time."""
    config = Config.fromfile(osp.join(tool.CONFIGS, tool.MODELS[name][1]))
    for key in ('train_cfg', 'train_dataloader', 'optim_wrapper', 'param_scheduler'):
        assert config[key] == tool.SCHEDULE[key]
    if name in ('kd', 'luminet'):
        student = Config.fromfile(osp.join(tool.CONFIGS, tool.MODELS[name][2]))
        assert config.model.student == student.model
