"""Show the installed stack, the devices, and what is missing."""

import argparse
import platform

from .. import __version__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`luminet version` takes none."""


def run(args: argparse.Namespace) -> None:
    print(f'luminet_mm {__version__}, Python {platform.python_version()}')
