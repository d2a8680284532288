"""The command `luminet`: a file for each verb.

A verb's module has a docstring, whose first line stands in the list of verbs, and two
functions: ``add_arguments(parser)`` and ``run(args)``. It is imported when it is called.
"""

import argparse
import sys
from importlib import import_module
from typing import List, Optional

# Verb: what it does, as `luminet --help` shows it.
VERBS = dict(
    export='export a student: ONNX, TorchScript, or files for upstream',
    version='show the installed stack, the devices, and what is missing',
)


def main(argv: Optional[List[str]] = None) -> None:
    """Run a verb of the command line.

    Args:
        argv (list[str], optional): Verb and arguments. Defaults to those that the
            process was given.

    Raises:
        SystemExit: With 2 for arguments that cannot be meant, and with one line for
            input that cannot work (every ``ValueError``).
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog='luminet', description='Knowledge distillation for OpenMMLab.'
    )
    verbs = parser.add_subparsers(dest='verb', metavar='VERB', required=True)
    for verb, summary in VERBS.items():
        verbs.add_parser(verb, help=summary, add_help=False)
    verb = parser.parse_args(argv[:1]).verb
    module = import_module(f'{__name__}.{verb}')
    parser = argparse.ArgumentParser(
        prog=f'luminet {verb}',
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    args = parser.parse_args(argv[1:])
    try:
        module.run(args)
    except ValueError as error:
        sys.exit(f'luminet {verb}: {error}')
