"""What the benchmarks share: how much memory calls need."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict

import torch


def print_peaks(calls: Dict[str, Callable[[], object]], device: str) -> None:
    """Print what three calls of each need at most, as :func:`read_peaks` reads it.

    Args:
        calls (dict[str, Callable]): What to call, by name.
        device (str): Where they compute.
    """
    peak = _of_gpu if device.startswith('cuda') else _of_process
    print(json.dumps({name: peak(call, device) for name, call in calls.items()}))


def read_peaks(*options: str) -> Dict[str, float]:
    """Run this very program once more, with options by which it prints peaks.

    On a CPU a peak is all that Linux counts for the process, which is why it has one
    of its own, where what is freed is given back at once.

    Args:
        *options (str): Added to the command line.

    Returns:
        dict[str, float]: MiB beside what was held before the calls, by name.
    """
    done = subprocess.run(
        [sys.executable, *sys.argv, *options],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, 'MALLOC_MMAP_THRESHOLD_': '65536'},  # glibc's
    )
    return json.loads(done.stdout.splitlines()[-1])


def _of_gpu(call: Callable[[], object], device: str) -> float:
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    for _ in range(3):
        call()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def _of_process(call: Callable[[], object], device: str) -> float:
    Path('/proc/self/clear_refs').write_text('5')  # forget the peak until now
    before = _resident('VmRSS')
    for _ in range(3):
        call()
    return max(_resident('VmHWM') - before, 2**-8)  # it is counted in pages


def _resident(key: str) -> float:
    """MiB of this process, as Linux counts them under a key."""
    status = Path('/proc/self/status').read_text()
    return int(re.search(rf'{key}:\s*(\d+) kB', status).group(1)) / 2**10
