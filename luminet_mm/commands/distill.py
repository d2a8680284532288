"""Train a small model with the help of a large one: teacher, student, and a table.

TEACHER and STUDENT are names of the model zoos (mmdet::..., mmpretrain::...) or config
files. The same command goes on where it was interrupted.
"""

import argparse
import signal

from ..cfg_options import DictAction
from ..driver import distill
from ..loggers import LOGGERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of :class:`luminet_mm.driver.Distillation`."""
    parser.usage = 'luminet distill TEACHER STUDENT [OPTION ...]'
    add = parser.add_argument
    add('teacher', help=argparse.SUPPRESS)  # told above
    add('student', help=argparse.SUPPRESS)
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        '--coco', metavar='DIR', help="images with boxes in COCO's format"
    )
    data.add_argument(
        '--images', metavar='DIR', help='train/CLASS/... and val/CLASS/...'
    )
    add(
        '--method',
        nargs='+',
        dest='methods',
        metavar='NAME',
        help='luminet list methods',
    )
    add('--teacher-ckpt', metavar='FILE', help='weights of the teacher')
    add('--alone', action='store_true', help='train the student without teacher, too')
    add('--epochs', type=int, metavar='N', help='length of each training')
    add('--batch-size', type=int, metavar='N', help='images a step on one GPU')
    add('--gpus', type=int, default=1, metavar='N', help='of each training')
    add('--jobs', type=int, default=1, metavar='N', help='trainings at a time')
    add('--amp', action='store_true', help='mixed precision')
    add(
        '--logger',
        nargs='+',
        dest='loggers',
        metavar='NAME',
        help=f'log to {", ".join(LOGGERS)}, too',
    )
    add('--seed', type=int, default=0, metavar='N')
    add('--work-dir', metavar='DIR', help='results')
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    add('--dry-run', action='store_true', help='only write configs, print commands')


def run(args: argparse.Namespace) -> None:
    """Distil, and say how to go on where it is interrupted."""
    # a request to end is handled as Ctrl-C is
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = {key: value for key, value in vars(args).items() if value is not None}
    try:
        distill(**options)
    except KeyboardInterrupt:
        raise SystemExit('\nInterrupted. The same command goes on from here.') from None
