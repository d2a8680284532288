"""Every page of this repository: its commands run, its links lead somewhere.

A block of commands, of Python or of a config is run here as it stands, unless the HTML
comment above it says who runs it instead, or why nobody does; see CONTRIBUTING.md.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import blocks, pages
from test_tools import ROOT

from luminet_mm.cfg_options import load_run_cfg
from luminet_mm.registry import MODELS

PAGES = list(pages())
BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [block for block in BLOCKS if block.language in ('sh', 'python')]
UNMARKED = [block for block in COMMANDS if not block.mark]
CONFIGS = [block for block in COMMANDS if block.mark.startswith('config in ')]
SHELL = [block for block in COMMANDS if block.language == 'sh']
# What a reader of a page makes, and the tests with him
READERS = ('configs/flowers', 'configs/fruit', 'docs/_build')


def by_place(block):
    return block.place


def test_languages_are_known():
    """A block in another language would not be looked at."""
    known = {'sh', 'python', 'bibtex', ''}
    assert {block.language for block in BLOCKS} == known
    for page in PAGES:
        assert not re.search('(?m)^ +```', page.read_text()), 'an indented block'
    assert len(COMMANDS) > 40


@pytest.mark.parametrize('block', COMMANDS, ids=by_place)
def test_marks_are_true(block):
    if block.mark.startswith('run by '):
        path, name = block.mark.replace('run by ', '').split('::')
        test = Path(ROOT, path).read_text()
        assert f'def {name}(' in test
        for tool in re.findall(r'tools/(?:\w+/)?(\w+\.(?:py|sh))', block.text):
            assert tool in test
    elif block.mark.startswith('not run: '):
        for path in re.findall(r'tests/\w+\.py', block.mark):
            assert Path(ROOT, path).is_file()
    elif block.mark.startswith('config in '):
        assert Path(ROOT, block.mark.replace('config in ', '')).is_dir()
    else:
        assert not block.mark, f'{block.mark!r}: see CONTRIBUTING.md for the marks'


@pytest.mark.parametrize('block', UNMARKED, ids=by_place)
def test_unmarked_blocks_run(block, tmp_path, monkeypatch):
    if block.language == 'sh':
        path = os.path.dirname(sys.executable) + os.pathsep + os.environ['PATH']
        shell = ['bash', '-euo', 'pipefail', '-c', block.text]
        done = subprocess.run(
            shell,
            cwd=ROOT,
            env={**os.environ, 'PATH': path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return
    monkeypatch.chdir(tmp_path)
    known = dict(MODELS.module_dict)
    printed = []
    try:
        exec(block.text, dict(print=lambda *what: printed.append(what)))
    finally:
        # other tests look at all that there are
        for name in set(MODELS.module_dict) - set(known):
            del MODELS.module_dict[name]
    promised = re.findall('# prints (.*)', block.text)
    if promised:
        numbers = re.findall(r'[\d.]+', promised[0])
        assert [str(what[-1]) for what in printed] == numbers


@pytest.mark.parametrize('block', CONFIGS, ids=by_place)
def test_configs_load(block, tmp_path):
    """As a file of the folder that the mark names."""
    folder = Path(ROOT, block.mark.replace('config in ', ''))
    path = tmp_path / 'of_the_page.py'
    path.write_text(block.text.replace("= './", f"= '{folder}/"))
    assert load_run_cfg(str(path), {}).model.type.startswith('luminet_mm.')


@pytest.mark.parametrize('block', SHELL, ids=by_place)
def test_files_of_commands_are_there(block):
    """Also of those that nobody runs."""
    words = re.findall(r'(?:tools|configs|docs)/\S+', block.text)
    echo = subprocess.run(
        ['bash', '-c', f'printf "%s\\n" {" ".join(words)}'],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for path in echo.stdout.split():
        if not path.startswith(READERS):
            assert Path(ROOT, path).exists(), path


def by_path(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize('page', PAGES, ids=by_path)
def test_inline_commands_name_files_that_are_there(page):
    for code in re.findall('`([^`]+)`', page.read_text()):
        for path in re.findall(r'(?:tools|tests)/[\w/]+\.(?:py|sh)\b', code):
            assert Path(ROOT, path).is_file(), path


@pytest.mark.parametrize('page', PAGES, ids=by_path)
def test_links_lead_somewhere(page):
    """For those who browse the repository; on the site Sphinx looks."""
    text = re.sub(r'```.*?```|`[^`]*`', '', page.read_text(), flags=re.DOTALL)
    for link in re.findall(r'\]\(([^)\s]+)\)', text):
        if '://' in link:
            continue
        path, _, anchor = link.partition('#')
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor and target.suffix == '.md':
            titles = re.findall('(?m)^#+ (.*)', target.read_text())
            assert anchor in map(slug, titles), link


def slug(title):
    """GitHub's and MyST's anchor of a heading."""
    return re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-')
