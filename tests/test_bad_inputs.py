"""Each bad input is answered clearly, and each situation works: see bad_inputs.py."""

import pytest
from bad_inputs import BAD_INPUTS
from campaign import judge
from situations import SITUATIONS


@pytest.mark.parametrize(
    'entry', [*BAD_INPUTS, *SITUATIONS], ids=lambda entry: f'{entry.kind}: {entry.name}'
)
def test_answer(entry, tmp_path):
    answer = judge(entry, tmp_path)
    assert answer.verdict == 'clear', f'{answer.text!r} must hold {entry.words}'


def test_as_many_as_the_campaigns_found():
    """219 inputs were unclear or silent once; 30 situations came from bug reports."""
    assert len(BAD_INPUTS) >= 219
    assert len(SITUATIONS) >= 30
