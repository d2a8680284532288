"""Training steps of each method, as in the paper's Table 3.

Every config's model takes whole steps (forward, backward, SGD) on the same batch of
random pixels that lies on the device; teachers have random weights. All run in one
process and in turn, so that what else the machine does meets them alike. The first
config is what the others are compared with, usually the student alone.
"""

import argparse
import os.path as osp
from functools import partial
from typing import Callable, Tuple

from mmengine.logging import MMLogger
from models import build_model, optimizer, random_batch
from timing import measure, parser, print_heading, print_table, write_json


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, runs=7)
    options.add_argument('configs', nargs='+', help='classification configs')
    options.add_argument('--batch-size', type=int, default=64, help='default: 64')
    options.add_argument(
        '--image-size', type=int, default=32, help='side in pixels (default: 32)'
    )
    options.add_argument(
        '--steps', type=int, default=10, help='steps of a run (default: 10)'
    )
    return options.parse_args()


def build_step(
    args: argparse.Namespace, config: str
) -> Tuple[Callable[[], object], int, int]:
    """Build one method.

    Args:
        args (argparse.Namespace): The command line.
        config (str): Path of the config, of one teacher at the most.

    Returns:
        tuple: A function that takes a step; the student's number of parameters; the
        number that is trained beside them.
    """
    model = build_model(config, args.device)
    data = random_batch(model, args.batch_size, args.image_size, args.image_size)
    student = getattr(model, 'student', model)
    num_student = sum(p.numel() for p in student.parameters())
    num_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    step = partial(model.train_step, data, optimizer(model))
    return step, num_student, num_trained - num_student


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('methods', log_level='WARNING')
    names = [osp.splitext(osp.basename(config))[0] for config in args.configs]
    built = {
        name: build_step(args, config) for name, config in zip(names, args.configs)
    }
    steps = {name: step for name, (step, _, _) in built.items()}
    milliseconds = measure(steps, args.device, args.runs, args.steps)

    print_heading(__doc__, args.device)
    print(f'Batches of {args.batch_size}, runs of {args.steps} steps:\n')
    extra = {
        'parameters': {name: f'{n / 1e6:.2f} M' for name, (_, n, _) in built.items()},
        'extra': {name: f'{n / 1e6:.2f} M' for name, (_, _, n) in built.items()},
    }
    print_table(milliseconds, names[:1], extra)
    write_json(args.json, args.device, dict(milliseconds=milliseconds))


if __name__ == '__main__':
    main()
