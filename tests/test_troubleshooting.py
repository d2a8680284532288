"""Messages on docs/troubleshooting.md are what the code says."""

import ast
import re
from pathlib import Path

import pytest
from test_tools import ROOT

PAGE = Path(ROOT, 'docs', 'troubleshooting.md').read_text()
OURS = [
    message
    for section in PAGE.split('\n## ')
    if 'from upstream' not in section.splitlines()[0]
    for row in re.findall(r'(?m)^\| (`.*?) \|', section)
    for message in re.findall('`(.*?)`', row)
]


@pytest.fixture(scope='module')
def texts():
    """Every text in the code; of one with values in it, the pieces between them."""
    found = [
        Path(ROOT, 'Makefile').read_text(),
        Path(ROOT, 'tools/install.sh').read_text(),
    ]
    for path in Path(ROOT, 'luminet_mm').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


@pytest.mark.parametrize('message', OURS)
def test_somebody_says_it(message, texts):
    longest = max(message.split('...'), key=len).strip()
    assert any(longest in text for text in texts)


def test_page_is_read():
    assert len(OURS) > 40
