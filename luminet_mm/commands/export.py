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
    parser.add_argument('config', help='config of the student or of its distillation')
    parser.add_argument('checkpoint', help='checkpoint of the student')
    parser.add_argument(
        '--out', metavar='FILE', help="(default: the checkpoint's name, .onnx)"
    )
    parser.add_argument(
        '--format',
        metavar='FORMAT',
        help=f"{', '.join(FORMATS)} (default: by FILE's suffix, else onnx)",
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        metavar='N',
        help='height and width of images (default: as in testing)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        metavar='N',
        help="images that a classifier's graph takes (default: any number)",
    )
    parser.add_argument(
        '--without-ema',
        action='store_true',
        help='the weights that were trained where the run averaged them',
    )
    parser.add_argument(
        '--force', action='store_true', help='overwrite files that exist'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='settings to override, e.g. model.test_cfg.score_thr=0.3',
    )


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
