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
# The package gives classes under any name, as it does for a backend that is missing.
PACKAGE = """
class configuration_utils:  # where torch looks
    class PretrainedConfig:
        pass

def __getattr__(name):
    if name.startswith('__') or name in {modules}:
        raise AttributeError(name)
    return type(name, (), dict(from_pretrained=None, from_config=None))
"""
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


def write_stub(folder, modeling_utils, package=PACKAGE):
    transformers = folder / 'transformers'
    transformers.mkdir()
    (transformers / '__init__.py').write_text(
        package.format(modules=('modeling_utils', 'activations', 'models'))
    )
    (transformers / 'modeling_utils.py').write_text(modeling_utils)
    info = folder / 'transformers-5.24.0.dist-info'  # where mmpretrain looks
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: transformers\nVersion: 5.24.0\n'
    )


@pytest.mark.parametrize(
    ('modeling_utils', 'first', 'reason'),
    [
        (NAMES_GONE, 'luminet_mm.registry', 'transformers.'),
        (OWN_CODE_FAILS, 'luminet_mm.models', "name 'nn' is not defined"),
    ],
)
def test_other_models_work(modeling_utils, first, reason, tmp_path):
    write_stub(tmp_path, modeling_utils)
    paths = [str(tmp_path), os.environ.get('PYTHONPATH', '')]
    done = subprocess.run(
        [sys.executable, '-c', IMPORT.format(first=first)],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths))},
    )
    assert 'Blip2Caption requires extra multi-modal' in done.stderr, done.stderr
    assert done.stdout.count('are switched off') == 1
    assert reason in done.stdout


@pytest.fixture
def before_upstream(monkeypatch):
    """As if mmpretrain's models had not been imported yet; returns the switch."""
    monkeypatch.setattr(dependency, 'WITH_MULTIMODAL', True)
    monkeypatch.delitem(sys.modules, 'mmpretrain.models', raising=False)
    for name in [name for name in sys.modules if name.split('.')[0] == 'transformers']:
        monkeypatch.delitem(sys.modules, name)
    return lambda: dependency.WITH_MULTIMODAL


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('installed', [True, False])
def test_nothing_is_touched(installed, before_upstream, tmp_path, monkeypatch):
    """Neither beside a transformers that has all names nor without one."""
    if installed:
        write_stub(tmp_path, PACKAGE.format(modules=()))
        monkeypatch.syspath_prepend(tmp_path)
    find_spec = compat.importlib.util.find_spec
    monkeypatch.setattr(
        compat.importlib.util,
        'find_spec',
        lambda name: find_spec(name) if installed or name != 'transformers' else None,
    )
    # other modules of the stub are there, and give any name, too
    import_module = compat.importlib.import_module
    monkeypatch.setattr(
        compat.importlib,
        'import_module',
        lambda name: import_module(
            'transformers.modeling_utils' if name.startswith('transformers.') else name
        ),
    )
    compat.enable_mmpretrain()
    assert before_upstream()
    assert ('transformers' in sys.modules) == installed
    assert None not in sys.modules.values()


def test_a_transformers_that_works_stays(monkeypatch):
    """What `make install` sets up has all names that mmpretrain wants."""
    monkeypatch.delitem(sys.modules, 'mmpretrain.models', raising=False)
    assert dependency.WITH_MULTIMODAL
    compat.enable_mmpretrain()
    assert dependency.WITH_MULTIMODAL
    import transformers.modeling_utils

    assert transformers.modeling_utils is not None
