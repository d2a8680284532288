"""What the benchmarks share: time contenders in turn, and report it."""

import argparse
import json
import platform
import re
import statistics
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Callable, Dict, List, Optional

import torch
from torch.profiler import profile

PACKAGES = (
    'luminet_mm',
    'torch',
    'mmengine',
    'mmcv',
    'mmdet',
    'mmpretrain',
    'mmrazor',
    'torchdistill',
)


def parser(description: str, runs: int) -> argparse.ArgumentParser:
    """The options that every benchmark has.

    Args:
        description (str): The program's own docstring.
        runs (int): Default number of measured runs.

    Returns:
        argparse.ArgumentParser: To be given the program's own options.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', default='cpu', help='e.g. cuda (default: cpu)')
    parser.add_argument(
        '--runs',
        type=int,
        default=runs,
        help=f'measured runs of each, after one more that is not (default: {runs})',
    )
    parser.add_argument('--json', help='a file to write the figures to, too')
    return parser


def measure(
    contenders: Dict[str, Callable[[], object]],
    device: str,
    runs: int,
    repeats: int = 1,
) -> Dict[str, List[float]]:
    """Time contenders in turn, so that what else the machine does meets them alike.

    Args:
        contenders (dict[str, Callable]): What to call, by name.
        device (str): Where they compute. Events time a CUDA device, a clock the CPU.
        runs (int): Measured runs of each, after one more that is not.
        repeats (int): Calls in a run. Defaults to 1.

    Returns:
        dict[str, list[float]]: Milliseconds of a call in each run, by name.
    """
    timed = _timed_cuda if device.startswith('cuda') else _timed
    rounds = [
        {name: timed(call, repeats) for name, call in contenders.items()}
        for _ in range(1 + runs)
    ]
    return {name: [times[name] for times in rounds[1:]] for name in contenders}


def _timed(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return 1000 * (time.perf_counter() - start) / repeats


def _timed_cuda(call: Callable[[], object], repeats: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(repeats):
        call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / repeats


def count_launches(call: Callable[[], object]) -> int:
    """How many kernels a call launches on a CUDA device; 0 on a CPU."""
    with profile() as profiled:
        call()
    return sum(
        event.count
        for event in profiled.key_averages()
        if re.match('cu(da)?LaunchKernel', event.key)
    )


def print_table(
    times: Dict[str, List[float]],
    baselines: List[str],
    extra: Optional[Dict[str, Dict[str, str]]] = None,
    unit: str = 'ms',
) -> None:
    """Print medians, spreads and ratios of the medians as a table in markdown.

    Args:
        times (dict[str, list[float]]): As :func:`measure` returns them.
        baselines (list[str]): Contenders that the others are compared with, a
            column each.
        extra (dict[str, dict[str, str]], optional): More columns: cells by contender,
            by the column's name. Defaults to None.
        unit (str): Of the figures. Defaults to 'ms'.
    """
    extra = extra or {}
    ratios = [f'to {name}' for name in baselines]
    header = ['', f'median {unit}', 'fastest', 'slowest', *ratios, *extra]
    print(f'| {" | ".join(header)} |', '|' + '---|' * len(header), sep='\n')
    for name, runs in times.items():
        median = statistics.median(runs)
        compared = (
            f'{median / statistics.median(times[other]):.2f}' for other in baselines
        )
        cells = (f'{value:.4g}' for value in (median, min(runs), max(runs)))
        more = (column[name] for column in extra.values())
        print(f'| {" | ".join([name, *cells, *compared, *more])} |')


def environment(device: str) -> Dict[str, str]:
    """What a figure depends on: date, machine, threads and versions."""
    processor = platform.processor() or platform.machine()
    if platform.system() == 'Linux':
        with open('/proc/cpuinfo') as file:
            names = [line for line in file if line.startswith('model name')]
        processor = names[0].split(':')[1].strip() if names else processor
    processor = f'{processor}, {torch.backends.cpu.get_cpu_capability()}'
    if device.startswith('cuda'):
        processor = torch.cuda.get_device_name(device)
    found = {'python': platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            pass
    return dict(
        date=date.today().isoformat(),
        device=f'{device} ({processor})',
        threads=str(torch.get_num_threads()),
        **found,
    )


def print_heading(description: str, device: str) -> None:
    """Print what a program measures, and the :func:`environment`."""
    title, _, text = description.partition('\n')
    facts = ', '.join(f'{k} {v}' for k, v in environment(device).items())
    print(f'## {title.rstrip(".")}\n{text}\n{facts}.\n')


def write_json(path: Optional[str], device: str, results: dict) -> None:
    """Write results and :func:`environment` to a file, if one is named."""
    if path:
        with open(path, 'w') as file:
            json.dump(dict(environment=environment(device), **results), file, indent=1)
            file.write('\n')
