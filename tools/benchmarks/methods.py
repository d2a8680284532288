"""Training steps of each method, as in the paper's Table 3.

Every config's model takes whole steps (forward, backward, SGD) on the same batch of
random pixels that lies on the device; teachers have random weights. All run in one
process and in turn, so that what else the machine does meets them alike. The first
config is what the others are compared with, usually the student alone. Extra
parameters are those of peers, connectors and, as in the paper, memory banks.
"""

import argparse
import os.path as osp
from functools import partial
from typing import Callable, Tuple

from memory import print_peaks, read_peaks
from mmengine.logging import MMLogger
from models import add_size_option, build_model, optimizer, random_batch
from timing import measure, parser, print_heading, print_table, write_json


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, runs=7)
    options.add_argument('configs', nargs='+', help='of classifiers or detectors')
    options.add_argument('--batch-size', type=int, default=64, help='default: 64')
    add_size_option(options, 32, 32)
    options.add_argument(
        '--steps', type=int, default=10, help='steps of a run (default: 10)'
    )
    options.add_argument(
        '--memory', action='store_true', help='what a step needs, too, in MiB'
    )
    options.add_argument('--only', help='print the memory of this config alone')
    return options.parse_args()


def build_step(
    args: argparse.Namespace, config: str
) -> Tuple[Callable[[], object], int, int]:
    """Build one method.

    Args:
        args (argparse.Namespace): The command line.
        config (str): Path of the config.

    Returns:
        tuple: A function that takes a step; the student's number of parameters; the
        number beside them.
    """
    model = build_model(config, args.device)
    data = random_batch(model, args.batch_size, *args.size)
    student = getattr(model, 'student', model)
    num_student = sum(p.numel() for p in student.parameters())
    num_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    num_kept = sum(
        buffer.numel()
        for loss in getattr(model, 'distill_losses', {}).values()
        for name, buffer in loss.named_buffers()
        if 'bank' in name
    )
    step = partial(model.train_step, data, optimizer(model))
    return step, num_student, num_trained + num_kept - num_student


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('methods', log_level='WARNING')
    if args.only:
        print_peaks({args.only: build_step(args, args.only)[0]}, args.device)
        return
    names = [osp.splitext(osp.basename(config))[0] for config in args.configs]
    built = {
        name: build_step(args, config) for name, config in zip(names, args.configs)
    }
    steps = {name: step for name, (step, _, _) in built.items()}
    milliseconds = measure(steps, args.device, args.runs, args.steps)

    print_heading(__doc__, args.device)
    height, width = args.size
    print(
        f'Batches of {args.batch_size} images of {width} x {height} pixels, runs of '
        f'{args.steps} steps:\n'
    )
    extra = {
        'parameters': {name: f'{n / 1e6:.2f} M' for name, (_, n, _) in built.items()},
        'extra': {name: f'{n / 1e6:.2f} M' for name, (_, _, n) in built.items()},
    }
    peaks = {}
    if args.memory:
        for name, config in zip(names, args.configs):
            peaks[name] = read_peaks('--only', config)[config]
        extra['peak MiB'] = {name: f'{peak:.0f}' for name, peak in peaks.items()}
    print_table(milliseconds, names[:1], extra)
    results = dict(milliseconds=milliseconds, peak_mib=peaks)
    write_json(args.json, args.device, results)


if __name__ == '__main__':
    main()
