"""What the benchmarks share: how much memory a call needs."""

import ctypes
import re
from pathlib import Path
from typing import Callable

import torch

M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


def give_back_freed() -> None:
    """Let Linux have freed tensors at once, so that they hide no later peak.

    To be called before a model is built whose memory is to be measured.
    """
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**16)


def peak_memory(call: Callable[[], object], device: str) -> float:
    """What three calls need at most, beside what is held before them.

    On a CPU this is all that Linux counts for the process, see
    :func:`give_back_freed`.

    Args:
        call (Callable): What to call.
        device (str): Where it computes.

    Returns:
        float: In MiB.
    """
    on_gpu = device.startswith('cuda')
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device) / 2**20
    else:
        Path('/proc/self/clear_refs').write_text('5')  # forget the peak until now
        before = _resident('VmRSS')
    for _ in range(3):
        call()
    if on_gpu:
        return torch.cuda.max_memory_allocated(device) / 2**20 - before
    return _resident('VmHWM') - before


def _resident(key: str) -> float:
    """MiB of this process, as Linux counts them under a key."""
    status = Path('/proc/self/status').read_text()
    return int(re.search(rf'{key}:\s*(\d+) kB', status).group(1)) / 2**10
