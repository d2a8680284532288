"""What tools/demo.py does before it calls `luminet distill`."""

import importlib.util
import json
import os.path as osp
from unittest import mock

import pytest
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


def test_data_of_another_seed_is_refused(tool, tmp_path):
    folder = tmp_path / 'annotations'
    folder.mkdir()
    (folder / 'instances_test.json').write_text(json.dumps(dict(info=dict(seed=1))))
    tool.make_data(str(tmp_path), 1)
    with pytest.raises(SystemExit, match='seed 1, not 0'):
        tool.make_data(str(tmp_path), 0)


@pytest.mark.parametrize('folder', ['my runs', "it's, [really] (mine)", '[1]'])
def test_paths_reach_the_command_whole(tool, folder):
    argv = ['demo.py', '--data-root', f'{folder}/data', '--work-dir', f'{folder}/work']
    with mock.patch.object(tool, 'luminet') as luminet, mock.patch.object(
        tool, 'make_data'
    ), mock.patch('sys.argv', argv):
        tool.main()
    (arguments,) = luminet.call_args[0]
    options = arguments[arguments.index('--cfg-options') + 1 :]
    options = dict(option.split('=', 1) for option in options)
    assert parse_value(options['data_root']) == f'{folder}/data'
    assert f'{folder}/work' in arguments


def test_time_is_logged_without_gaps(tool):
    """What the time in the table adds up: windows that leave nothing out."""
    schedule = Config.fromfile(osp.join(tool.CONFIGS, 'digits.py'))
    interval = schedule.default_hooks.logger.interval
    num_train = tool.write_digit_scenes.__defaults__[1]
    assert num_train % (interval * schedule.train_dataloader.batch_size) == 0


@pytest.mark.parametrize('name', ['kd', 'luminet'])
def test_the_configs_agree(tool, name):
    """Who reads `configs/demo` sees what the demo trains."""
    config = Config.fromfile(osp.join(tool.CONFIGS, f'digits_{name}.py'))
    student = Config.fromfile(osp.join(tool.CONFIGS, 'digits_student.py'))
    assert config.model.student == student.model
    assert config.model.warmup == 250 and not config.model.warmup_by_epoch
    for key in ('train_cfg', 'train_dataloader', 'optim_wrapper', 'param_scheduler'):
        assert config[key] == student[key]
