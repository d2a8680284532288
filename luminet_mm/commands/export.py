"""Export a distilled student: ONNX, TorchScript, or plain files for upstream.

The file is run on random images against the model before it takes its name, and a
model card is written beside it.
"""

import argparse
import shlex

from ..cfg_options import DictAction
from ..export import FORMATS, export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `luminet export`."""
    parser.usage = 'luminet export CONFIG CHECKPOINT [OPTION ...]'
    add = parser.add_argument
    add('config', help='config of the student or of its distillation')
    add('checkpoint', help='checkpoint of the student')
    add('--out', metavar='FILE', help="(default: the checkpoint's name, .onnx)")
    add('--format', metavar='FORMAT', help=f'{", ".join(FORMATS)} (default: by FILE)')
    add('--shape', type=int, nargs='+', metavar='N', help='height and width of images')
    add('--batch-size', type=int, metavar='N', help='(default: any, of classifiers)')
    add('--without-ema', action='store_true', help='weights that EMA did not average')
    add('--force', action='store_true', help='overwrite files that exist')
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')


def run(args: argparse.Namespace) -> None:
    """Export, and say which files there are now."""
    for path in export(
        args.config,
        args.checkpoint,
        args.out,
        args.format,
        args.shape,
        args.batch_size,
        args.without_ema,
        args.force,
        args.cfg_options,
        command=_command(args),
    ):
        print(path)


def _command(args: argparse.Namespace) -> str:
    """The command, as it can be typed again."""
    words = ['luminet', 'export', args.config, args.checkpoint]
    for name in ('out', 'format', 'batch_size'):
        if getattr(args, name) is not None:
            words += [f'--{name.replace("_", "-")}', str(getattr(args, name))]
    words += ['--shape', *map(str, args.shape)] if args.shape else []
    words += ['--without-ema'] if args.without_ema else []
    words += ['--force'] if args.force else []
    options = [f'{key}={value}' for key, value in (args.cfg_options or {}).items()]
    words += ['--cfg-options', *options] if options else []
    return shlex.join(words)
