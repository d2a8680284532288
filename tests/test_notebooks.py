"""The notebooks of docs/, from the first cell to the last, with less data."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
from test_tools import ROOT

from luminet_mm.driver.training import Training

NOTEBOOKS = {
    'classifier': dict(num_images='250', epochs='1'),
    'detector': dict(num_scenes='8', num_val='2', num_test='2', epochs='1'),
}


def run_here(training, command, *_):
    """A training or a test in this process, for an import of everything takes long."""
    _, path, *arguments = command
    argv, sys.argv = sys.argv, [path, *arguments]
    try:
        runpy.run_path(path, run_name='__main__')
    finally:
        sys.argv = argv


@pytest.mark.parametrize('name', NOTEBOOKS)
def test_links_lead_somewhere(name):
    path = Path(ROOT, 'docs', 'notebooks', f'{name}.ipynb')
    for link in re.findall(r'\]\(([^)#]+)', path.read_text()):
        assert (path.parent / link).exists(), link


def test_all_are_run():
    found = Path(ROOT, 'docs', 'notebooks').glob('*.ipynb')
    assert {path.stem for path in found} == set(NOTEBOOKS)


@pytest.mark.parametrize('name', NOTEBOOKS)
def test_runs(name, tmp_path, monkeypatch, capsys):
    notebook = json.loads(Path(ROOT, 'docs', 'notebooks', f'{name}.ipynb').read_text())
    code = '\n'.join(
        ''.join(cell['source'])
        for cell in notebook['cells']
        if cell['cell_type'] == 'code'
    )
    for setting, smaller in NOTEBOOKS[name].items():
        code, found = re.subn(
            rf'\b{setting}( ?= ?)\d+', rf'{setting}\g<1>{smaller}', code
        )
        assert found == 1, setting
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Training, 'run', run_here)
    exec(compile(code, name, 'exec'), {})
    printed = capsys.readouterr().out
    for row in ('teacher', 'student alone', 'student, luminet'):
        assert re.search(rf'\| {row}\w* +\|', printed)
    assert re.search('a probability of|a score of', printed.splitlines()[-1])
    if name == 'detector':
        assert (tmp_path / 'digits_detector' / 'detections.png').is_file()
        assert list((tmp_path / 'detected' / 'vis').iterdir())
