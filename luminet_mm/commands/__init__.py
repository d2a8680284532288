"""The command `luminet`: a file for each verb.

A verb is a module with a docstring, which `luminet VERB --help` shows, and two
functions: ``add_arguments(parser)`` and ``run(args)``. It is imported when called.
"""

import argparse
import os
import sys
import warnings
from functools import partial
from importlib import import_module
from typing import List, Optional

from .. import check_requirements

# What libraries tell those who develop with them stays off the console of a command,
# unless it is asked for by `python -W`
if not sys.warnoptions:
    warnings.simplefilter('ignore', FutureWarning)

# Verb: what it does, as `luminet --help` shows it.
VERBS = dict(
    copy='copy configs that are to be changed: images or boxes of your own',
    distill='train a small model with the help of a large one',
    export='export a student: ONNX, TorchScript, or files for upstream',
    inspect='draw what a training did',
    list='list methods, models or configs',
    version='show the installed stack, the devices, and what is missing',
)


def main(argv: Optional[List[str]] = None) -> None:
    """Run a verb of the command line.

    Args:
        argv (list[str], optional): Verb and arguments. Defaults to those that the
            process was given.

    Raises:
        SystemExit: With 2 for arguments that cannot be meant, and with one line for
            input that cannot work (every ``ValueError``) or a package that is missing.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog='luminet', description='Knowledge distillation for OpenMMLab.'
    )
    verbs = parser.add_subparsers(dest='verb', metavar='VERB', required=True)
    for verb, summary in VERBS.items():
        verbs.add_parser(verb, help=summary, add_help=False)
    verb = parser.parse_args(argv[:1]).verb
    try:
        if verb != 'version':
            check_requirements()
        module = import_module(f'{__name__}.{verb}')
    except ImportError as error:
        sys.exit(f'luminet {verb}: {error} (`luminet version` shows all of it)')
    parser = argparse.ArgumentParser(
        prog=f'luminet {verb}',
        description=module.__doc__,
        formatter_class=partial(
            argparse.RawDescriptionHelpFormatter, max_help_position=28
        ),
    )
    module.add_arguments(parser)
    args = parser.parse_args(argv[1:])
    try:
        module.run(args)
    except ValueError as error:
        sys.exit(f'luminet {verb}: {error}')
    except BrokenPipeError:  # `luminet list models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
