"""A user who follows a page of docs/: copies configs, edits them, runs its Python."""

import os.path as osp
import re
from pathlib import Path
from typing import Iterator, NamedTuple

from test_tools import ROOT


class Block(NamedTuple):
    """A fenced block of a page.

    Attributes:
        place (str): Page and line.
        language (str): Such as 'sh'; '' for what a program prints.
        text (str): Its content.
        mark (str): The HTML comment right above it, which says who runs it; '' if
            there is none, see CONTRIBUTING.md.
    """

    place: str
    language: str
    text: str
    mark: str


def pages() -> Iterator[Path]:
    """Every page that a reader may follow."""
    root = Path(ROOT)
    yield from (root / 'README.md', root / 'CONTRIBUTING.md', root / 'docker/README.md')
    yield from sorted(root.glob('configs/*/README.md'))
    built = root / 'docs' / '_build'
    for page in sorted(root.glob('docs/**/*.md')):
        if built not in page.parents:
            yield page


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, without those that are Sphinx's own."""
    fence = r'(?m)^(?:<!-- (.*) -->\n)?```(.*)\n((?:.*\n)*?)```$'
    text = page.read_text()
    for found in re.finditer(fence, text):
        mark, language, content = found.groups()
        if not language.startswith('{'):
            line = text[: found.start()].count('\n') + 1
            place = f'{page.relative_to(ROOT)}:{line}'
            yield Block(place, language, content, mark or '')


def edit(path, **changes):
    """Set top-level names of a config file, as in an editor."""
    text = path.read_text()
    for name, value in changes.items():
        # a value may span lines, which are indented or close a bracket
        statement = rf'(?m)^{name} = .*(\n[ )\]].*)*$'
        new = f'{name} = {value}'
        text, found = re.subn(statement, lambda _, new=new: new, text)
        assert found == 1, f'{path} sets {name!r} {found} times'
    path.write_text(text)


def replace(path, *pairs):
    """Replace text in a file, wherever it occurs."""
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def block_of(page, word):
    """The page's only block of Python with this word, of runs of one epoch."""
    with open(osp.join(ROOT, 'docs', page)) as file:
        blocks = re.findall(r'```python\n(.*?)```', file.read(), flags=re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    return re.sub(r'epoch_\d+', 'epoch_1', block)


def run_block(page, word):
    """Run the block, and give the lines that it prints."""
    printed = []
    exec(
        block_of(page, word),
        dict(print=lambda *what: printed.append(' '.join(map(str, what)))),
    )
    return printed


def without_luminet(root):
    """An environment in which luminet_mm cannot be imported."""
    absent = root / 'absent'
    absent.mkdir()
    (absent / 'luminet_mm.py').write_text('raise ImportError("not installed here")')
    return dict(PYTHONPATH=str(absent))
