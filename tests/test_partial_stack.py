"""Everything of our own works with one of mmdet and mmpretrain, and no mmrazor."""

import subprocess
import sys

import pytest

STEP = """
import sys
from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda cls, name, path=None, target=None: None
    if name.split('.')[0] in {missing} else find_spec(name, path, target)
)
sys.path.insert(0, {tests!r})
from tiny import *

import luminet_mm.datasets

cfg = {model}()
model = distiller(cfg, cfg, save_weights(cfg, {ckpt!r}, seed=1))
losses = model.loss(**model.data_preprocessor({batch}(), True))
assert losses['loss_luminet'] > 0
assert not {missing} & set(sys.modules)
"""


@pytest.mark.parametrize(
    ('missing', 'model', 'batch'),
    [
        ({'mmdet', 'mmrazor'}, 'classifier', 'image_batch'),
        ({'mmpretrain', 'mmrazor', 'torchvision'}, 'faster_rcnn', 'detection_batch'),
    ],
)
def test_distils_with(missing, model, batch, tmp_path, request):
    code = STEP.format(
        missing=missing,
        model=model,
        batch=batch,
        tests=str(request.path.parent),
        ckpt=str(tmp_path / 'teacher.pth'),
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
