import time
from collections import deque
from typing import Any, Deque, Tuple

import torch


class Stopwatch:
    """Adds up how long a device computes between :meth:`start` and :meth:`stop`.

    A GPU is never waited for: it notes by itself when it comes to either place, and its
    notes are read once they are there.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._begin: Any = None
        self._stretches: Deque[Tuple[Any, Any]] = deque()  # that a GPU is on its way to

    def start(self, device: torch.device) -> None:
        """Start, on the device that is going to compute."""
        self._begin = _note() if device.type == 'cuda' else time.perf_counter()

    def stop(self) -> None:
        """Stop; without a start before it nothing is added."""
        begin, self._begin = self._begin, None
        if isinstance(begin, float):
            self._seconds += time.perf_counter() - begin
        elif begin is not None:
            self._stretches.append((begin, _note()))
            self.read()  # so that what waits does not become more and more

    def read(self) -> float:
        """Seconds so far, less those of stretches that a GPU has not done yet."""
        while self._stretches and self._stretches[0][1].query():
            begin, end = self._stretches.popleft()
            self._seconds += begin.elapsed_time(end) / 1000
        return self._seconds

    def __deepcopy__(self, memo: dict) -> 'Stopwatch':
        # a copy of a model, as EMA makes it, has its own time
        return Stopwatch()


def _note() -> 'torch.cuda.Event':
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
