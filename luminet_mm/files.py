"""Folders: what comes with the package, and new ones, whole or not at all."""

import os
import os.path as osp
import tempfile
from contextlib import contextmanager
from typing import Iterator

# Configs and tools, in a checkout and in an installed package
MIM = osp.join(osp.dirname(osp.abspath(__file__)), '.mim')


@contextmanager
def new_folder(path: str) -> Iterator[str]:
    """Make a folder whose content appears when it is complete.

    Args:
        path (str): The new folder.

    Yields:
        str: An empty folder beside it, to be filled. It takes the name ``path`` at the
        end, and is removed if that is not reached. What a killed process has left of
        one is never taken up again.

    Raises:
        ValueError: If ``path`` exists.
    """
    if osp.lexists(path):
        raise ValueError(f'{path!r} exists and is not overwritten: name a new folder')
    parent, name = osp.split(osp.abspath(path))
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'{name}.unfinished-', dir=parent) as own:
        unfinished = osp.join(own, name)
        os.mkdir(unfinished)
        yield unfinished
        if osp.lexists(path):  # made in the meantime
            raise ValueError(f'{path!r} exists and is not overwritten')
        os.rename(unfinished, path)
