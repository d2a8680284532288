"""Tries all of bad_inputs.py and situations.py, and says how each was answered.

    python tests/campaign.py [WORD ...]

prints a table of the kinds, and every answer that is not clear; with words, only of
inputs whose name has one of them. ``docs/reliability.md`` holds what it printed.
"""

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Iterable, List, NamedTuple
from unittest import mock

from bad_inputs import BAD_INPUTS, Input
from doings import Lost, write_weights
from mmengine.config import utils
from mmengine.logging import MessageHub
from mmengine.runner import runner as upstream
from situations import SITUATIONS

VERDICTS = ('clear', 'unclear', 'silent', 'lost')
# What a message is raised as; a tool also ends with one
ERRORS = (ValueError, TypeError, KeyError, ArithmeticError, OSError, SystemExit)
LONGEST = 1000  # characters of a message


class Answer(NamedTuple):
    """What came of an input.

    Attributes:
        verdict (str): One of :data:`VERDICTS`.
        text (str): The message, or what was logged as a warning.
    """

    verdict: str
    text: str


@lru_cache(maxsize=None)
def quicken():
    """Look up once what mmengine does anew for each run: its zoo and the machine."""
    utils.load = lru_cache(maxsize=None)(utils.load)
    upstream.collect_env = lru_cache(maxsize=None)(upstream.collect_env)


def judge(entry: Input, folder: Path) -> Answer:
    """Try an input, in an empty folder of its own that is the working directory."""
    quicken()
    write_weights()
    logged = []
    here = os.getcwd()
    MessageHub.get_instance(str(folder))
    printed = io.StringIO()
    try:
        os.chdir(folder)
        with recorded(logged), contextlib.redirect_stdout(
            printed
        ), contextlib.redirect_stderr(printed):
            entry.do(folder)
    except Lost as error:
        return Answer('lost', str(error))
    except AssertionError as error:
        if entry.answer == 'works':
            return Answer('silent', f'wrong: {error}')
        return Answer('unclear', f'AssertionError: {error}')
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and not error.code:
            return Answer('silent', printed.getvalue())
        # argparse and the scripts print what is wrong, then end with a number
        code = getattr(error, 'code', None)
        text = printed.getvalue()[-3000:] if isinstance(code, int) else str(error)
        clear = (
            isinstance(error, ERRORS)
            and entry.answer != 'works'
            and len(text) <= LONGEST
            and all(word in text for word in entry.words)
        )
        text = f'{type(error).__name__}: {text}'
        return Answer('clear' if clear else 'unclear', text)
    finally:
        os.chdir(here)
    # upstream prints what does not fit of a checkpoint
    text = '\n'.join([*logged, printed.getvalue()])
    heard = entry.answer != 'error' and all(word in text for word in entry.words)
    return Answer('clear' if heard else 'silent', text)


@contextlib.contextmanager
def recorded(messages: List[str]):
    """Collect the warnings of all loggers, which print nothing meanwhile."""

    def record(logger, rec):
        if rec.levelno >= logging.WARNING:
            messages.append(rec.getMessage())

    with mock.patch.object(logging.Logger, 'handle', record):
        with warnings.catch_warnings(record=True) as caught:
            yield
    messages.extend(str(warning.message) for warning in caught)


def main(words: Iterable[str]) -> None:
    words = tuple(words)
    entries = [
        entry
        for entry in (*BAD_INPUTS, *SITUATIONS)
        if not words or any(word in f'{entry.kind}: {entry.name}' for word in words)
    ]
    counts, rest = {}, []
    for entry in entries:
        with tempfile.TemporaryDirectory() as folder:
            answer = judge(entry, Path(folder).resolve())
        counts.setdefault(entry.kind, Counter())[answer.verdict] += 1
        if answer.verdict != 'clear':
            said = ' '.join(answer.text.split())[:200] * (answer.verdict != 'silent')
            rest.append(f'{answer.verdict}: {entry.kind}: {entry.name}: {said}')
    counts['all'] = sum(counts.values(), Counter())
    print('| kind | tried |', ' | '.join(VERDICTS), '|')
    print('|---' * (2 + len(VERDICTS)) + '|')
    for kind, count in counts.items():
        numbers = (sum(count.values()), *(count[verdict] for verdict in VERDICTS))
        print('|', ' | '.join([kind, *map(str, numbers)]), '|')
    print('\n'.join(['', *rest]))


if __name__ == '__main__':
    main(sys.argv[1:])
