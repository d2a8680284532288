"""How the loss and a step grow with batch, classes, teacher and processes.

Exponents are slopes over the size in logarithms: 1 where twice as much takes twice as
much. Samples and classes are those of LuminetLoss alone, forward and backward, float32;
images and teachers those of training steps with random weights. Memory is what three
calls need at most beside the weights (on a CPU, of all that the process holds), and its
exponent is that of the peaks from 1 MiB on. With several processes, each has a thread
of its own and the same number of samples; `synced` standardises over the batches of all
(`sync_stats=True`), `own` over its own.
"""

import argparse
import math
import os
import os.path as osp
import statistics
import tempfile
from collections import ChainMap
from functools import partial
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from memory import print_peaks, read_peaks
from mmengine.logging import MMLogger
from models import add_size_option, build_model, optimizer, random_batch
from timing import measure, parser, print_heading, print_table, write_json

from luminet_mm.distillers import LogitDistiller
from luminet_mm.distillers.base_distiller import num_params
from luminet_mm.losses import LuminetLoss
from luminet_mm.visualization.figure import new_figure

SAMPLES = (1024, 4096, 16384, 65536)
CLASSES = (80, 365, 1204, 21841)
IMAGES = (1, 2, 4, 8)
NUM_SAMPLES, NUM_CLASSES, NUM_IMAGES = 2048, 81, 2  # what is held fixed
ZOO = 'mmdet::faster_rcnn/faster-rcnn_'
TEACHERS = (
    'configs/coco/frcnn_r18.py',
    f'{ZOO}r50_fpn_1x_coco.py',
    f'{ZOO}r101_fpn_1x_coco.py',
    f'{ZOO}x101-64x4d_fpn_1x_coco.py',
)


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, runs=7)
    options.add_argument(
        '--config',
        default='configs/coco/frcnn_r101_r18_luminet.py',
        help='of the steps (default: %(default)s)',
    )
    options.add_argument('--samples', type=int, nargs='+', default=SAMPLES)
    options.add_argument('--classes', type=int, nargs='+', default=CLASSES)
    options.add_argument('--images', type=int, nargs='+', default=IMAGES)
    options.add_argument('--teachers', nargs='+', default=TEACHERS, help='configs')
    add_size_option(options, 240, 320)
    options.add_argument(
        '--processes',
        type=int,
        nargs='+',
        default=(2, 4),
        help='numbers of processes to try, by gloo (default: 2 4)',
    )
    options.add_argument('--plot', help='a picture to draw')
    options.add_argument(
        '--memory', action='store_true', help='print the peak memory of each alone'
    )
    return options.parse_args()


def loss_step(
    rows: int, columns: int, device: str, **settings: bool
) -> Callable[[], None]:
    """A function that takes loss and gradient of random logits."""
    torch.manual_seed(0)
    preds_S, preds_T = torch.randn(2, rows, columns, device=device)
    preds_S.requires_grad_()
    loss = LuminetLoss(**settings)

    def call() -> None:
        preds_S.grad = None
        loss(preds_S, preds_T).backward()

    return call


def training_step(
    model: LogitDistiller, images: int, size: Sequence[int]
) -> Callable[[], object]:
    """A function that takes a training step on random images."""
    batch = random_batch(model, images, *size)
    return partial(model.train_step, batch, optimizer(model.student))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of the least squares' line through sizes and values in logarithms."""
    x, y = (torch.tensor([math.log(v) for v in each]) for each in (sizes, values))
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())


def seen(sizes: Sequence[float], peaks: Sequence[float]) -> Tuple[List[float], ...]:
    """The peaks of at least 1 MiB: less is lost in what the process holds anyway.

    Returns:
        tuple[list[float], list[float]]: Their sizes and they themselves.
    """
    large = [i for i, mib in enumerate(peaks) if mib >= 1]
    return tuple([each[i] for i in large] for each in (sizes, peaks))


class Growth(NamedTuple):
    """Calls of growing size."""

    title: str
    sizes: Sequence[float]
    calls: Dict[str, Callable[[], object]]


def growths(args: argparse.Namespace) -> Dict[str, Growth]:
    """What is measured, by what grows."""
    loss = partial(loss_step, device=args.device)
    step = partial(training_step, size=args.size)
    model = build_model(args.config, args.device)
    taught = {
        osp.splitext(osp.basename(teacher))[0]: build_model(
            args.config, args.device, teacher=dict(_delete_=True, cfg_path=teacher)
        )
        for teacher in args.teachers
    }
    height, width = args.size
    return dict(
        samples=Growth(
            f'Samples, of {NUM_CLASSES} classes',
            args.samples,
            {f'{n} x {NUM_CLASSES}': loss(n, NUM_CLASSES) for n in args.samples},
        ),
        classes=Growth(
            f'Classes, of {NUM_SAMPLES} samples',
            args.classes,
            {f'{NUM_SAMPLES} x {n}': loss(NUM_SAMPLES, n) for n in args.classes},
        ),
        images=Growth(
            f'Images of {width} x {height} pixels, of {args.config}',
            args.images,
            {f'{n} images': step(model, n) for n in args.images},
        ),
        teacher=Growth(
            f'Parameters of the teacher in millions, of {NUM_IMAGES} images',
            [
                num_params(model.teachers[0].model, False) / 1e6
                for model in taught.values()
            ],
            {name: step(model, NUM_IMAGES) for name, model in taught.items()},
        ),
    )


def print_growth(
    growth: Growth, milliseconds: Dict[str, List[float]], peaks: Dict[str, float]
) -> Dict[str, list]:
    """Print how time and memory grow.

    Args:
        growth (Growth): What was measured.
        milliseconds (dict[str, list[float]]): As :func:`measure` returns them.
        peaks (dict[str, float]): MiB that a call needs, by name.

    Returns:
        dict[str, list]: ``sizes``, medians of ``milliseconds`` and ``peak_mib``.
    """
    names = list(growth.calls)
    extra = {
        'size': {name: f'{size:g}' for name, size in zip(names, growth.sizes)},
        'peak MiB': {name: f'{peaks[name]:.4g}' for name in names},
    }
    print(f'{growth.title}:\n')
    print_table(milliseconds, names[:1], extra)
    times = [statistics.median(each) for each in milliseconds.values()]
    needed = [peaks[name] for name in names]
    print(
        f'\nexponent of time {exponent(growth.sizes, times):.2f}, '
        f'of memory {exponent(*seen(growth.sizes, needed)):.2f}\n'
    )
    return dict(sizes=list(growth.sizes), milliseconds=times, peak_mib=needed)


def one_process(rank: int, count: int, runs: int, folder: str) -> None:
    """What each of several processes measures; the first one keeps it."""
    torch.set_num_threads(1)
    store = f'file://{folder}/store{count}'
    dist.init_process_group('gloo', store, rank=rank, world_size=count)
    shape = (NUM_SAMPLES, NUM_CLASSES)
    calls = {
        name: loss_step(*shape, 'cpu', sync_stats=sync)
        for name, sync in ((f'{count} own', False), (f'{count} synced', True))
    }
    times = measure(calls, 'cpu', runs, repeats=20)
    if rank == 0:
        torch.save(times, osp.join(folder, f'times{count}'))
    dist.barrier()  # leave together: gloo may wait for a peer that is gone
    # At once: torch 2.1 joins gloo's threads holding Python's lock, which they may want
    os._exit(0)


def by_processes(args: argparse.Namespace) -> Dict[str, List[float]]:
    """Milliseconds with several processes on the CPU, by their number."""
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in args.processes:
            mp.spawn(one_process, (count, args.runs, folder), nprocs=count)
            times.update(torch.load(osp.join(folder, f'times{count}')))
    return times


def draw(growth: Dict[str, Dict[str, list]], path: str) -> None:
    """Draw time and memory over size, each to that of the smallest size."""
    figure = new_figure(900, 400, layout='constrained')
    figure.suptitle('to the smallest')
    for axes, label in zip(figure.subplots(1, 2), ('time', 'memory')):
        for name, grown in growth.items():
            points = grown['sizes'], grown['milliseconds']
            if label == 'memory':
                points = seen(grown['sizes'], grown['peak_mib'])
            x, y = ([value / each[0] for value in each] for each in points)
            axes.plot(x, y, label=name, marker='o', markersize=3.5)
        axes.axline((1, 1), slope=1, color='grey', linestyle=':')
        axes.set(
            xscale='log', yscale='log', xlabel='size, to the smallest', ylabel=label
        )
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path)


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('scaling', log_level='WARNING')
    growing = growths(args)
    if args.memory:
        calls = ChainMap(*(each.calls for each in growing.values()))
        print_peaks(calls, args.device)
        return
    print_heading(__doc__, args.device)
    peaks = read_peaks('--memory')
    grown = {
        name: print_growth(each, measure(each.calls, args.device, args.runs), peaks)
        for name, each in growing.items()
    }
    print(f'Processes on the CPU, {NUM_SAMPLES} x {NUM_CLASSES} each:\n')
    processes = by_processes(args)
    print_table(processes, list(processes)[:1])
    if args.plot:
        draw(grown, args.plot)
    write_json(args.json, args.device, dict(growth=grown, processes=processes))


if __name__ == '__main__':
    main()
