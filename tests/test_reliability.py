"""What docs/reliability.md says is so."""

import os.path as osp
import re
from collections import Counter

from bad_inputs import BAD_INPUTS
from situations import SITUATIONS
from test_tools import ROOT

with open(osp.join(ROOT, 'docs', 'reliability.md')) as page:
    PAGE = page.read()


def test_tests_that_it_names_are_there():
    named = re.findall(r'`(tests/[\w/]+\.py)::(\w+)`', PAGE)
    assert len(named) > 20
    for path, name in named:
        with open(osp.join(ROOT, path)) as file:
            assert f'def {name}(' in file.read(), f'{path}::{name}'


def test_campaign_is_of_the_table():
    """All of the table was tried, and every answer was clear."""
    (printed,) = re.findall(r'<!-- campaign -->\n(.*)<!-- /campaign -->', PAGE, re.S)
    rows = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in printed.splitlines()[2:]
        if line.startswith('|')
    ]
    tried = Counter(entry.kind for entry in (*BAD_INPUTS, *SITUATIONS))
    tried['all'] = sum(tried.values())
    assert {kind: int(number) for kind, number, *_ in rows} == tried
    for kind, number, clear, unclear, silent, lost in rows:
        assert (clear, unclear, silent, lost) == (number, '0', '0', '0'), kind
