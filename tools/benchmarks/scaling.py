"""How the loss grows with samples, classes and processes.

LuminetLoss forward and backward, float32. `exponent` is the slope of time over size in
logarithms, 1 where twice as much takes twice as long. With several processes, each has
a thread of its own and the same number of samples; `synced` standardises over the
batches of all (`sync_stats=True`), `own` over its own.
"""

import argparse
import math
import os.path as osp
import statistics
import tempfile
from typing import Callable, Dict, List, Sequence, Tuple

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from timing import measure, parser, print_heading, print_table, write_json

from luminet_mm.losses import LuminetLoss

SAMPLES = (256, 1024, 4096, 16384)
CLASSES = (80, 365, 1204, 21841)
NUM_SAMPLES, NUM_CLASSES = 512, 81  # what is held fixed


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, runs=11)
    options.add_argument('--samples', type=int, nargs='+', default=SAMPLES)
    options.add_argument('--classes', type=int, nargs='+', default=CLASSES)
    options.add_argument(
        '--processes',
        type=int,
        nargs='+',
        default=(2, 4),
        help='numbers of processes to try, by gloo (default: 2 4)',
    )
    return options.parse_args()


def step(shape: Tuple[int, int], device: str, **settings: bool) -> Callable[[], None]:
    """A function that takes loss and gradient of random logits."""
    torch.manual_seed(0)
    preds_S, preds_T = torch.randn(2, *shape, device=device)
    preds_S.requires_grad_()
    loss = LuminetLoss(**settings)

    def call() -> None:
        preds_S.grad = None
        loss(preds_S, preds_T).backward()

    return call


def exponent(sizes: Sequence[int], times: Sequence[float]) -> float:
    """Slope of the least squares' line through sizes and times in logarithms."""
    x, y = (torch.tensor([math.log(v) for v in values]) for values in (sizes, times))
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())


def grow(args: argparse.Namespace, shapes: Dict[int, Tuple[int, int]]) -> dict:
    """Print a table of shapes by size, and their exponent."""
    calls = {
        f'{rows} x {columns}': step((rows, columns), args.device)
        for rows, columns in shapes.values()
    }
    times = measure(calls, args.device, args.runs)
    print_table(times, list(calls)[:1])
    medians = [statistics.median(each) for each in times.values()]
    print(f'\nexponent {exponent(list(shapes), medians):.2f}\n')
    return times


def one_process(rank: int, count: int, runs: int, folder: str) -> None:
    """What each of several processes measures; the first one keeps it."""
    torch.set_num_threads(1)
    store = f'file://{folder}/store{count}'
    dist.init_process_group('gloo', store, rank=rank, world_size=count)
    shape = (NUM_SAMPLES, NUM_CLASSES)
    calls = {
        name: step(shape, 'cpu', sync_stats=sync)
        for name, sync in ((f'{count} own', False), (f'{count} synced', True))
    }
    times = measure(calls, 'cpu', runs, repeats=20)
    if rank == 0:
        torch.save(times, osp.join(folder, f'times{count}'))


def by_processes(args: argparse.Namespace) -> Dict[str, List[float]]:
    """Milliseconds with several processes on the CPU, by their number."""
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in args.processes:
            mp.spawn(one_process, (count, args.runs, folder), nprocs=count)
            times.update(torch.load(osp.join(folder, f'times{count}')))
    return times


def main() -> None:
    args = parse_args()
    print_heading(__doc__, args.device)
    print(f'Samples, of {NUM_CLASSES} classes:\n')
    samples = grow(args, {rows: (rows, NUM_CLASSES) for rows in args.samples})
    print(f'Classes, of {NUM_SAMPLES} samples:\n')
    classes = grow(args, {columns: (NUM_SAMPLES, columns) for columns in args.classes})
    print(f'Processes on the CPU, {NUM_SAMPLES} x {NUM_CLASSES} each:\n')
    processes = by_processes(args)
    print_table(processes, list(processes)[:1])
    results = dict(samples=samples, classes=classes, processes=processes)
    write_json(args.json, args.device, dict(milliseconds=results))


if __name__ == '__main__':
    main()
