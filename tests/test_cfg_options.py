"""What `--cfg-options` reach, and how they are read."""

import argparse
import sys

import pytest
from mmengine.config import Config

from luminet_mm.cfg_options import DictAction, load_run_cfg, parse_value
from luminet_mm.config import load_model_cfg

DATA = """
data_root = 'data/coco/'
classes = ('apple', 'pear')  # a comment
max_epochs = 24; image_scale = (1333, 800)
train_pipeline = [dict(type='Load'), dict(type='Resize', scale=image_scale)]
train_dataloader = dict(
    dataset=dict(
        data_root=data_root, pipeline=train_pipeline, metainfo=dict(classes=classes)
    )
)
val_evaluator = dict(ann_file=data_root + 'val.json', other='data/coco/literal.json')
train_cfg = dict(max_epochs=max_epochs)
custom_hooks = [dict(type='A')]
unused = 1
"""
STUDENT = """
_base_ = './data.py'
model = dict(type='Student', num_classes=len(_base_.classes), keep=dict(depth=1))
"""
RUN = """
_base_ = './student.py'
model = dict(
    _delete_=True,
    type='luminet_mm.LogitDistiller',
    student=dict(cfg_path='{{fileDirname}}/student.py', keep=dict(depth=2)),
    teacher=[dict(cfg_path='{{fileDirname}}/student.py')],
    teacher_ckpt=f'teacher/epoch_{_base_.max_epochs}.pth',
)
half = {{_base_.max_epochs}}
param_scheduler = [dict(end=half)]
custom_hooks = [*_base_.custom_hooks, dict(type='B')]
"""


@pytest.fixture
def run(tmp_path):
    """A run's file, whose bases and models are files, too."""
    for name, text in (('data', DATA), ('student', STUDENT), ('run', RUN)):
        (tmp_path / f'{name}.py').write_text(text)
    return str(tmp_path / 'run.py')


def test_a_variable_reaches_what_was_made_of_it(run):
    cfg = load_run_cfg(
        run, dict(max_epochs=3, image_scale=(64, 48), classes=('a', 'b', 'c'))
    )
    assert cfg.max_epochs == cfg.train_cfg.max_epochs == 3
    assert cfg.model.teacher_ckpt == 'teacher/epoch_3.pth'
    assert cfg.param_scheduler == [dict(end=3)]
    dataset = cfg.train_dataloader.dataset
    assert dataset.pipeline[1].scale == (64, 48)
    assert dataset.metainfo.classes == ('a', 'b', 'c')
    # in the files of the models, too, whose name and overrides stay
    student = load_model_cfg(cfg.model.student, 'k')
    assert (student.num_classes, student.keep.depth) == (3, 2)
    assert cfg.model.student.cfg_path.endswith('student.py')
    assert load_model_cfg(cfg.model.teacher[0], 'k').num_classes == 3
    # and nothing is left behind
    assert Config.fromfile(run).train_cfg.max_epochs == 24
    assert load_run_cfg(run).model.teacher_ckpt == 'teacher/epoch_24.pth'


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('max_epochs', 3),
        ('max_epochs', float('inf')),
        ('max_epochs', 'it\'s "3"'),
        ('image_scale', [(1, 2), None]),
        ('classes', ('größe',)),
    ],
)
def test_any_value_of_a_variable(run, option, value):
    cfg = load_run_cfg(run, {option: value})
    found = dict(
        max_epochs=cfg.train_cfg.max_epochs,
        image_scale=cfg.train_dataloader.dataset.pipeline[1].scale,
        classes=cfg.train_dataloader.dataset.metainfo.classes,
    )
    assert found[option] == value
    others = load_run_cfg(run)
    assert (cfg.val_evaluator, cfg.custom_hooks) == (
        others.val_evaluator,
        others.custom_hooks,
    )


def test_a_part_of_a_variable(run):
    cfg = load_run_cfg(run, {'train_pipeline.1.scale': (64, 48)})
    assert cfg.train_dataloader.dataset.pipeline[1] == dict(
        type='Resize', scale=(64, 48)
    )
    with pytest.raises(ValueError, match='train_pipeline.7.scale.*IndexError'):
        load_run_cfg(run, {'train_pipeline.7.scale': (64, 48)})


def test_what_the_runner_reads_is_merged(run):
    cfg = load_run_cfg(
        run,
        {
            'train_cfg.max_epochs': 5,
            'model.student.keep.depth': 7,
            'custom_hooks': None,
            'optim_wrapper.type': 'AmpOptimWrapper',  # new
            'find_unused_parameters': True,  # new
        },
    )
    assert cfg.train_cfg.max_epochs == 5
    assert load_model_cfg(cfg.model.student, 'k').keep.depth == 7
    assert cfg.custom_hooks is None
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.find_unused_parameters is True


def test_custom_imports_are_imported(run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'of_the_user.py').write_text('')
    load_run_cfg(run, {'custom_imports.imports': ['of_the_user']})
    assert sys.modules.pop('of_the_user')


@pytest.mark.parametrize(
    'data_root', ['/new', '/new/', 'data/coco/sub', 'data', '/a b']
)
def test_data_root_reaches_every_place(run, tmp_path, data_root):
    """Also what was not made of the variable, and in a file that reads none."""
    dumped = tmp_path / 'dumped.py'
    Config.fromfile(run).dump(dumped)
    for path in (run, str(dumped)):
        cfg = load_run_cfg(path, dict(data_root=data_root))
        whole = data_root.rstrip('/') + '/'
        assert cfg.data_root == cfg.train_dataloader.dataset.data_root == whole
        assert cfg.val_evaluator.ann_file == f'{whole}val.json'
        assert cfg.val_evaluator.other == f'{whole}literal.json'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'modle.teacher_ckpt': 'a'}, r"modle.teacher_ckpt: .* did you mean 'model'\?"),
        ({'max_epoch': 3}, "max_epoch: .* did you mean 'max_epochs'"),
        ({'fin_unused_parameters': True}, "did you mean 'find_unused_parameters'"),
        ({'unused': 2}, "unused=2 has no effect: .* made of 'unused' in .*run.py"),
        ({'max_epochs': 3, 'unused': 2}, 'unused=2 has no effect'),
        ({'classes': 5}, r"with --cfg-options {'classes': 5}: .*TypeError in line 3"),
    ],
)
def test_what_nobody_reads_is_refused(run, options, message):
    with pytest.raises(ValueError, match=message):
        load_run_cfg(run, options)


def test_a_dumped_config_reads_no_variable(run, tmp_path):
    dumped = str(tmp_path / 'dumped.py')
    Config.fromfile(run).dump(dumped)
    with pytest.raises(ValueError, match='max_epochs=3 has no effect'):
        load_run_cfg(dumped, dict(max_epochs=3))
    with pytest.raises(ValueError, match='max_epochs=3 has no effect'):
        load_run_cfg(dumped, dict(max_epochs=3, data_root='/new'))
    assert load_run_cfg(dumped, dict(max_epochs=24)).train_cfg.max_epochs == 24


def test_lazy_configs_are_merged(tmp_path):
    (tmp_path / 'base.py').write_text("data_root = 'a/'\nval_cfg = dict(x=data_root)\n")
    run = tmp_path / 'run.py'
    run.write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n    from .base import *\n'
        'max_epochs = 2\ntrain_cfg = dict(max_epochs=max_epochs)\n'
    )
    cfg = load_run_cfg(str(run), {'train_cfg.max_epochs': 3, 'data_root': 'b'})
    assert (cfg.train_cfg.max_epochs, cfg.val_cfg.x) == (3, 'b/')
    with pytest.raises(ValueError, match='max_epochs=3 has no effect'):
        load_run_cfg(str(run), dict(max_epochs=3))


def test_other_formats_are_merged(tmp_path):
    path = tmp_path / 'run.yaml'
    path.write_text('train_cfg: {max_epochs: 2}\n')
    cfg = load_run_cfg(str(path), {'train_cfg.max_epochs': 3})
    assert cfg.train_cfg.max_epochs == 3


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        # as mmengine reads them
        ('3', 3),
        ('1e-3', 1e-3),
        ('true', True),
        ('None', None),
        ('word', 'word'),
        ('a,b', ['a', 'b']),
        ('[1,2]', [1, 2]),
        ('(1,2)', (1, 2)),
        ('(1,)', (1,)),
        ('[(1,2),[a,b],c]', [(1, 2), ['a', 'b'], 'c']),
        ('[]', []),
        ('()', ()),
        ('', ''),
        ('"[1,2]"', [1, 2]),
        # and what it would change or refuse
        ('/my data/coco', '/my data/coco'),
        (' 3 ', 3),
        ('[1, 2]', [1, 2]),
        ('[ (1, 2), a b ]', [(1, 2), 'a b']),
        ('(1,2),(3,4)', [(1, 2), (3, 4)]),
        ("'a, b'", 'a, b'),
        ("'3'", '3'),
        ("['a, b', c d]", ['a, b', 'c d']),
        ("('1', '2')", ('1', '2')),
        ("it's here", "it's here"),
        ("it's, that's", ["it's", "that's"]),
        ('C:\\new data\\t.pth', 'C:\\new data\\t.pth'),
        ('a=b.pth', 'a=b.pth'),
        ('run (1)/t.pth', 'run (1)/t.pth'),
        ('run[1/t.pth', 'run[1/t.pth'),
        ('wrn+resnet.pth', 'wrn+resnet.pth'),
    ],
)
def test_values(text, value):
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


def test_options_of_a_command(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    command = ['--cfg-options', 'a.b=x y', 'c==', '--cfg-options', 'd=[1, 2]']
    options = parser.parse_args(command).cfg_options
    assert options == {'a.b': 'x y', 'c': '=', 'd': [1, 2]}
    assert parser.parse_args([]).cfg_options is None
    for arguments, message in (
        (
            ['data_root=/my', 'data'],
            "'data' is no KEY=VALUE; put a value that has spaces",
        ),
        (['=3'], "'=3' is no KEY=VALUE"),
        ([], 'expected at least one argument'),
    ):
        with pytest.raises(SystemExit):
            parser.parse_args(['--cfg-options', *arguments])
        assert message in capsys.readouterr().err
