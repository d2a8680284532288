"""Logit knowledge distillation for OpenMMLab, with LumiNet as its flagship.

Importing the package is cheap: it looks up the versions of what it stands on
and imports none of it.
"""

import os.path as osp
import re
import sys
from importlib import metadata
from importlib.util import find_spec

from .version import __version__

__all__ = ['__version__', 'distill']

# Module: (lowest version, distributions that provide it, what pip can install).
_REQUIRED = {
    'torch': (
        '1.8',
        ('torch',),
        '"torch==2.1.2" "torchvision==0.16.2" "numpy<2"',
    ),
    'mmengine': (
        '0.8.0',
        ('mmengine', 'mmengine-lite', 'onedl-mmengine'),
        '"mmengine>=0.8.0,<1.0.0"',
    ),
}


def _installed_versions(distributions):
    """Map each of ``distributions`` that is installed to its version."""
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _release(text):
    """Return the leading numbers of a version: '2.1.2+cu121' is (2, 1, 2)."""
    return tuple(int(n) for n in re.match(r'[\d.]*\d', text).group().split('.'))


def check_requirements():
    """Raise an ImportError that names what is missing or too old, and the fix."""
    problems = []
    for module, (floor, distributions, fix) in _REQUIRED.items():
        found = _installed_versions(distributions)
        if any(_release(v) >= _release(floor) for v in found.values()):
            continue
        if found:
            state = ', '.join(f'{name} {v} is installed' for name, v in found.items())
        elif find_spec(module):
            # A source checkout on sys.path carries no version: trust it.
            continue
        else:
            state = 'it is not installed'
        problems.append(
            f'luminet_mm needs {module}>={floor}, but {state}. '
            f'To fix it: pip install {fix}'
        )
    if problems:
        raise ImportError('\n'.join(problems))


# the command `luminet` (-m is `python -m luminet_mm`) shows itself what is missing
if osp.splitext(osp.basename((sys.argv or [''])[0]))[0] not in ('luminet', '-m'):
    check_requirements()


def __getattr__(name):
    """`distill`, whose import is not cheap, when it is asked for."""
    if name == 'distill':
        from .driver import distill

        return distill
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
