"""A wheel, used from an empty folder: nothing of this checkout is needed.

mim is played by hand: it has pins that do not go with the rest of the stack.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[1]
NOT_PACKED = '.git', '.venv*', 'build', 'docs', 'work_dirs', '*.egg-info', '*.so'


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """An environment with the stack and the wheel, and commands that run there."""
    folder = tmp_path_factory.mktemp('wheel')
    source, site, empty = (folder / name for name in ('source', 'site', 'empty'))
    shutil.copytree(
        ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(*NOT_PACKED)
    )
    # where torch is missing the operator is left out, which takes a minute to compile
    (folder / 'torch.py').write_text('raise ImportError\n')
    empty.mkdir()
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}

    def run(*command, error=None, **more):
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=empty,
            env={**env, 'PYTHONPATH': str(site), **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert (done.returncode == 0) == (error is None), done.stdout[-5000:]
        assert error is None or error in done.stdout
        return done.stdout

    pip = ('-m', 'pip', '--quiet', '--disable-pip-version-check')
    no_deps = ('--no-deps', '--no-build-isolation')
    run(*pip, 'wheel', *no_deps, source, '-w', folder, PYTHONPATH=str(folder))
    run(*pip, 'install', '--no-deps', '--target', site, *folder.glob('*.whl'))
    return SimpleNamespace(run=run, site=site, mim=site / 'luminet_mm' / '.mim')


def test_is_what_is_imported(wheel):
    where = wheel.run('-c', 'import luminet_mm; print(luminet_mm.__file__)')
    assert Path(where.strip()) == wheel.site / 'luminet_mm' / '__init__.py'


def test_configs_are_whole(wheel):
    """`luminet` is on the path; what it copies can be read where it lies, and all else
    by name."""
    luminet = wheel.site / 'bin' / 'luminet'
    said = wheel.run(luminet, 'copy', 'coco_format', 'fruit')
    assert 'fruit/coco_format_data.py' in said
    assert f'{wheel.mim}/tools/train.py fruit/coco_format_teacher.py' in said
    wheel.run(luminet, 'copy', 'coco_format', 'fruit', error="'fruit' exists and is")
    wheel.run('-m', 'luminet_mm', 'copy', 'image_folder', 'more/flowers')
    code = """
from luminet_mm.cfg_options import load_run_cfg
from luminet_mm.config import load_whole_cfg

for path in (
    'fruit/coco_format_luminet.py',  # these name the other files beside them
    'more/flowers/folder_luminet.py',
    'luminet_mm::coco/frcnn_r101_r18_luminet.py',
):
    cfg = load_whole_cfg(load_run_cfg(path))
    assert cfg.model.student.type and cfg.model.teacher.type, path
"""
    wheel.run('-c', code)


def test_trains_below_a_name(wheel):
    """A config of the wheel as the base of one's own; `mim train` calls this script."""
    images = wheel.site.parent / 'empty' / 'images'
    for split in ('train', 'val'):
        for name in ('red', 'blue'):
            (images / split / name).mkdir(parents=True)
            for i in range(2):
                image = Image.new('RGB', (40, 40), name)
                image.save(images / split / name / f'{i}.png')
    own = images.parent / 'own.py'
    own.write_text(
        "_base_ = 'luminet_mm::image_folder/folder_student.py'\n"
        'load_from = None\n'
        'train_dataloader = dict(num_workers=0, persistent_workers=False)\n'
        'val_dataloader = dict(num_workers=0, persistent_workers=False)\n'
        'test_dataloader = dict(num_workers=0, persistent_workers=False)\n'
    )
    options = ('--cfg-options', 'data_root=images', 'num_classes=2', 'max_epochs=1')
    train = wheel.mim / 'tools' / 'train.py'
    assert 'accuracy/top1' in wheel.run(train, 'own.py', *options)


def test_has_what_mim_looks_for(wheel):
    """`mim search` reads the index, `mim train` and others look for scripts."""
    index = yaml.safe_load((wheel.mim / 'model-index.yml').read_text())
    for path in index['Import']:
        models = yaml.safe_load((wheel.mim / path).read_text())['Models']
        assert models
        assert all((wheel.mim / model['Config']).is_file() for model in models)
    for verb in ('train', 'test'):
        assert (wheel.mim / 'tools' / f'{verb}.py').is_file()


def test_mim_run_distill(wheel):
    said = wheel.run(wheel.mim / 'tools' / 'distill.py', '--help')
    assert said.startswith('usage: luminet distill TEACHER STUDENT')
