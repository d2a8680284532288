"""Classifiers and detectors work beside a transformers that upstream was not made for.

Stubs stand for the real ones, which would need another torch and a download; each
fails where, and how, that was seen of transformers 4.57, 5.0 and 5.24.
"""

import os
import subprocess
import sys

import pytest
from mmpretrain.utils import dependency

from luminet_mm import compat

# transformers 5 beside a torch that it takes
NAMES_GONE = 'class PreTrainedModel: pass\nclass GenerationConfig: pass\n'
# transformers 5 beside an older torch, which it leaves out: `nn.Module` in a signature
OWN_CODE_FAILS = 'def size(model: nn.Module): pass\n'
# a module that has a class of any name, with what upstream and torch want at import
ANY_NAME = """
def __getattr__(name):
    if name.startswith('__'):
        raise AttributeError(name)
    if name == '_BaseAutoModelClass':
        return object
    PretrainedConfig = type('PretrainedConfig', (), {})
    return type(name, (), dict(from_pretrained=0, from_config=0, **locals()))
"""
MODULES = (
    '__init__',
    'activations',
    'modeling_outputs',
    'models/auto/auto_factory',
    'models/bert/configuration_bert',
    'models/opt/configuration_opt',
    'utils',
)
IMPORT = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    import {first}
    import mmdet.models, mmpretrain.models
print([str(w.message) for w in caught if 'multi-modal' in str(w.message)])
from mmengine.registry import MODELS
for model in ('mmpretrain.ResNet', 'mmdet.ResNet', 'mmdet.FasterRCNN'):
    assert MODELS.get(model), model
MODELS.get('mmpretrain.Blip2Caption')()
"""


def write_stub(folder, modeling_utils):
    files = dict.fromkeys(MODULES, ANY_NAME)
    for name, text in dict(files, modeling_utils=modeling_utils).items():
        path = folder / 'transformers' / f'{name}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    info = folder / 'transformers-5.24.0.dist-info'  # where mmpretrain looks
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: transformers\nVersion: 5.24.0\n'
    )


@pytest.mark.parametrize(
    ('modeling_utils', 'first', 'reason'),
    [
        (NAMES_GONE, 'luminet_mm.registry', 'has no attribute'),
        (OWN_CODE_FAILS, 'luminet_mm.models', "name 'nn' is not defined"),
    ],
    ids=['names gone', 'own code fails'],
)
def test_other_models_work(modeling_utils, first, reason, tmp_path):
    """Without our part the first ends in "NoneType takes no arguments"."""
    write_stub(tmp_path, modeling_utils)
    paths = [str(tmp_path), os.environ.get('PYTHONPATH', '')]
    done = subprocess.run(
        [sys.executable, '-c', IMPORT.format(first=first)],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths))},
    )
    assert 'requires extra multi-modal' in done.stderr, done.stderr
    assert done.stdout.count('are switched off') == 1
    assert reason in done.stdout


@pytest.fixture
def before_upstream(monkeypatch):
    """As if nobody had imported transformers or mmpretrain's models yet."""
    monkeypatch.setattr(dependency, 'WITH_MULTIMODAL', True)
    monkeypatch.delitem(sys.modules, 'mmpretrain.models', raising=False)
    for name in [name for name in sys.modules if name.split('.')[0] == 'transformers']:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('installed', [True, False])
def test_nothing_is_touched(installed, before_upstream, tmp_path, monkeypatch):
    """Neither beside a transformers that has all names nor without one."""
    if installed:
        write_stub(tmp_path, ANY_NAME)
        monkeypatch.syspath_prepend(tmp_path)
    find_spec = compat.importlib.util.find_spec
    monkeypatch.setattr(
        compat.importlib.util,
        'find_spec',
        lambda name: find_spec(name) if installed or name != 'transformers' else None,
    )
    compat.enable_mmpretrain()
    loaded = [name for name in sys.modules if name.split('.')[0] == 'transformers']
    assert dependency.WITH_MULTIMODAL
    assert bool(loaded) == installed
    assert all(sys.modules[name] for name in loaded)
    for name in loaded:  # the stub
        del sys.modules[name]


def test_a_transformers_that_works_stays(monkeypatch):
    """What `make install` sets up has all names that mmpretrain wants."""
    monkeypatch.delitem(sys.modules, 'mmpretrain.models', raising=False)
    assert dependency.WITH_MULTIMODAL
    compat.enable_mmpretrain()
    assert dependency.WITH_MULTIMODAL
    import transformers.modeling_utils

    assert transformers.modeling_utils is not None
