"""The small verbs of `luminet`."""

import subprocess
import sys

import cv2
import pytest
from test_analysis_tools import log_validations
from test_import import ROOT, install
from test_tools import dump
from tiny import (
    classification_run,
    classifier,
    detection_run,
    distilled,
    faster_rcnn,
    save_weights,
)

from luminet_mm.commands import VERBS, main, version
from luminet_mm.config import load_model_cfg


@pytest.fixture
def luminet(capsys):
    """Runs a verb; the lines that it printed."""

    def run(*arguments):
        capsys.readouterr()
        main([*map(str, arguments)])
        return capsys.readouterr().out.splitlines()

    return run


@pytest.mark.parametrize('verb', VERBS)
def test_help_fits_a_screen(verb, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')
    with pytest.raises(SystemExit) as ended:
        main([verb, '--help'])
    assert ended.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) <= 24


def test_version_shows_what_is_there(luminet, monkeypatch):
    monkeypatch.setattr(version, 'EXTRAS', ())  # which take long to import
    lines = luminet('version')
    assert lines[0].startswith('luminet_mm ')
    shown = dict(line.split(maxsplit=1) for line in lines[1:] if line.startswith('  '))
    assert shown['torch'].startswith(version._version('torch'))
    assert 'CPU threads' in shown['devices']
    assert any('compiled, used' in line for line in lines)
    assert lines[-1] == 'nothing is missing'


def test_version_shows_what_is_missing_or_broken(luminet, monkeypatch):
    """With the names that the maintained forks have where they are installed."""
    broken = {'mmdet.models': AssertionError('mmcv is\ntoo new'), 'onnx': ImportError()}
    load = version.import_module

    def fail(name):
        if name in broken:
            raise broken[name]
        return load(name)

    versions = {'onedl-mmengine': '0.10.12', 'onedl-mmdetection': '3.5.1'}
    monkeypatch.setattr(version, 'import_module', fail)
    monkeypatch.setattr(version, '_version', versions.get)
    lines = luminet('version')
    at = lines.index(
        'mmdet: 3.5.1 (onedl-mmdetection) cannot be imported: AssertionError: mmcv is '
        'too new; not without it: detectors'
    )
    assert lines[at + 1] == '    pip install onedl-mmdetection'
    assert 'onnx: missing; not without it: export to ONNX' in lines
    assert any(
        line.startswith('  mmengine      0.10.12 (onedl-mmeng') for line in lines
    )
    monkeypatch.setattr(version, '_version', {'mmdet': '2.0'}.get)
    lines = luminet('version')
    assert '    pip install "mmdet>=3.0.0"' in lines


def test_version_works_where_nothing_is_installed(tmp_path):
    """And the other verbs say in one line what they need."""
    install(tmp_path, 'mmengine', '0.7.0', 'mmengine')

    def luminet(verb):
        code = f'import runpy, sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; '
        code += f"sys.argv = ['-m', {verb!r}]; runpy.run_module('luminet_mm', None, "
        code += "'__main__')"
        flags = [sys.executable, '-S', '-c', code]
        return subprocess.run(flags, capture_output=True, text=True, timeout=60)

    done = luminet('version')
    assert done.returncode == 0, done.stderr
    assert 'torch: missing; not without it: training at all' in done.stdout
    assert '    pip install "mmengine>=0.8.0,<1.0.0"' in done.stdout
    done = luminet('list')
    assert done.returncode == 1
    assert 'luminet list: luminet_mm needs torch>=1.8' in done.stderr
    assert 'Traceback' not in done.stderr


def test_list_methods(luminet):
    rows = {line.split()[0]: line for line in luminet('list', 'methods')}
    assert '[two_stage, dense] Correlation of the student' in rows['pkd']
    assert '[two_stage] The boxes of a teacher' in rows['luminet_box_rpn']
    assert 'teach each other' in rows['dml']
    assert 'not by --method' in rows['dml']
    assert [*rows] == list(dict.fromkeys(rows))
    assert '; LumiNet: the student learns' in rows['luminet_box']
    assert len(luminet('list', 'methods', 'luminet')) == 3


def test_list_configs(luminet):
    names = luminet('list', 'configs')
    assert 'luminet_mm::coco/frcnn_r101_r18_luminet.py' in names
    assert not [name for name in names if '_base_' in name or '/pairs/' in name]
    some = luminet('list', 'configs', 'luminet_mm::bccd/*_kd_*')
    assert some == [
        f'luminet_mm::bccd/{pair}_quarter_kd_bccd.py'
        for pair in ('frcnn_r18', 'retinanet_r18', 'rtmdet_s')
    ]
    with pytest.raises(SystemExit, match="'bccdd': there are no such configs"):
        luminet('list', 'configs', 'bccdd')


def test_list_models(luminet):
    lines = luminet('list', 'models')
    assert lines[-1].startswith(f'{len(lines) - 1} models.')
    name = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'
    assert any(
        line.split() == [*f'{name} box AP 31.7 on COCO'.split()] for line in lines
    )
    (line,) = luminet('list', 'models', name)
    assert line == f'{name}  box AP 31.7 on COCO; shown'
    (line,) = luminet('list', 'models', 'mask2former_r50_8xb2-lsj-50e_coco.py')
    assert '; refused: model.student is a Mask2Former, which none of' in line
    (line,) = luminet('list', 'models', 'mobilenet-v2_8xb32_in1k')
    assert line.endswith('Top 1 Accuracy 71.86 on ImageNet-1k; shown')


def test_inspect_draws_all_of_a_distillation(luminet, tmp_path):
    cfg = faster_rcnn(test_cfg=dict(rcnn=dict(score_thr=0.0, max_per_img=5)))
    run = tmp_path / 'run'
    log_validations(run, {1: 0.1, 2: 0.2})
    ckpts = [
        save_weights(cfg, path, seed=seed)
        for seed, path in enumerate(
            (tmp_path / 'teacher.pth', run / 'student.pth', tmp_path / 'alone.pth')
        )
    ]
    model = distilled(cfg, cfg, ckpts[0])
    config = dump(detection_run(model, tmp_path, tmp_path / 'x'), tmp_path / 'd.py')
    few = '--num-images', 1
    lines = luminet('inspect', config, ckpts[1], '--student-ckpt', ckpts[2], *few)
    places = dict(line.split(': ') for line in lines)
    assert [*places] == ['perception', 'detections', 'curves']
    for path in places.values():
        assert cv2.imread(path) is not None
        assert path.startswith(str(run / 'pictures'))
    assert not (tmp_path / 'x').exists()

    # the plain student: what can be drawn
    plain = load_model_cfg(cfg, 'model')
    config = dump(detection_run(plain, tmp_path, tmp_path / 'x'), tmp_path / 'p.py')
    lines = luminet('inspect', config, ckpts[2], '--out', tmp_path / 'out', *few)
    assert lines[0].startswith('perception: not drawn. ')
    assert 'only a LogitDistiller has a teacher' in lines[0]
    assert lines[1] == f'detections: {tmp_path}/out/detections.png'
    assert lines[2].startswith('curves: not drawn. no log of a validation beside')
    assert len(lines) == 3


def test_inspect_says_what_it_cannot(luminet, capsys, tmp_path):
    ckpt = save_weights(classifier(), tmp_path / 'student.pth')
    cfg = classification_run(classifier(), tmp_path, tmp_path / 'x')
    config = dump(cfg, tmp_path / 'plain.py')
    with pytest.raises(SystemExit, match='luminet inspect: nothing was drawn'):
        luminet('inspect', config, ckpt)
    told = capsys.readouterr().out.splitlines()
    assert [line.split(':')[0] for line in told] == [
        'perception',
        'detections',
        'curves',
    ]
    assert 'ImageClassifier is no detector' in told[1]
    with pytest.raises(SystemExit, match='none.pth: no such checkpoint'):
        luminet('inspect', config, tmp_path / 'none.pth')
    with pytest.raises(SystemExit, match='--num-images=0 must be an integer of at'):
        luminet('inspect', config, ckpt, '--num-images', 0)
