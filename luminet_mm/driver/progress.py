"""What is seen of trainings while they run: one live line each."""

import re
import sys
import threading
import time
from datetime import timedelta
from typing import Any, Callable, Dict, Optional

from rich.console import Console
from rich.live import Live
from rich.table import Table

PATIENCE = 30  # seconds between two lines of a training, where none is overwritten
# What is shown of a line of mmengine's log: its place, losses, and metrics
PLACE = re.compile(
    r'(Epoch|Iter)\((train|val|test)\)\s+(?:\[(\d+)\])?\[\s*(\d+)/(\d+)\]'
)
ETA = re.compile(r'\beta: ((?:\d+ days?, )?[\d:]+)')
TERM = re.compile(r'\b(loss|loss_[a-z]\w*): ([\d.e+-]+|nan|inf)')
METRIC = re.compile(r'\b(\w+/\w+): ([\d.e+-]+)')
MAX_TERMS = 4
MODES = dict(train='training', val='validation', test='test')


class Line:
    """What the last lines of a training's log say.

    Args:
        title (str): What runs.
        epochs (int, optional): How many it has. Defaults to None, for one that counts
            iterations.
    """

    def __init__(self, title: str, epochs: Optional[int] = None) -> None:
        self.title = title
        self.epochs = epochs
        self.start = time.time()
        self.done = 0.0  # of 1
        self.begun: Optional[float] = None  # where a resumed one went on
        self.eta = ''
        self.parts: Dict[str, str] = {}
        self.begin('training')

    def begin(self, what: str) -> None:
        """A new process starts, which logs nothing for some seconds."""
        self.parts['where'] = f'{what} starts'
        self.parts.pop('losses', None)
        self.eta = ''

    def read(self, text: str) -> bool:
        """Take up a line of mmengine's log; returns whether it says anything new."""
        place = PLACE.search(text)
        if not place:
            return False
        unit, mode, epoch, step, steps = place.groups()
        if mode == 'train':
            terms = TERM.findall(text)
            own = [term for term in terms if term[0] == 'loss']
            distilled = [term for term in terms[::-1] if term[0] != 'loss']
            shown = own + distilled[: MAX_TERMS - 1][::-1]
            self.parts['losses'] = ' '.join(f'{k} {float(v):.4g}' for k, v in shown)
            eta = ETA.search(text)
            self.eta = f'{eta[1]} to go' if eta else ''
            done = int(step) / int(steps)
            if unit == 'Epoch' and self.epochs:
                done = (int(epoch) - 1 + done) / self.epochs
                self.parts['where'] = f'epoch {epoch}/{self.epochs}'
            else:
                self.parts['where'] = f'iteration {step}/{steps}'
            self.done = done
            self.begun = done if self.begun is None else self.begun
        else:
            metrics = METRIC.findall(text)
            if metrics:
                self.parts['metric'] = ' '.join(metrics[0])
            self.parts['where'] = f'{MODES[mode]}, {step}/{steps}'
        return True

    def __str__(self) -> str:
        passed = timedelta(seconds=int(time.time() - self.start))
        named = [self.parts.get(name, '') for name in ('where', 'losses', 'metric')]
        parts = [self.title, *named, self.eta]
        return f'{"  ".join(part for part in parts if part)}  ({passed})'


class Progress:
    """Shows the lines of what runs, live on a terminal, else as they change.

    Args:
        to_come (callable, optional): Estimates the seconds until all is done, None
            where there is nothing to go by. Defaults to None, which shows none.
    """

    def __init__(self, to_come: Optional[Callable[[], Optional[float]]] = None) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.lines: Dict[str, Line] = {}
        self.start = time.time()
        self._shown: Dict[str, float] = {}
        self._to_come = to_come
        self._live: Optional[Live] = None
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def __enter__(self) -> 'Progress':
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=self._table, console=self.console, refresh_per_second=2
            )
            self._live.start()
        else:
            self._thread = threading.Thread(target=self._beat, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *args: Any) -> None:
        self._stop.set()
        if self._live:
            self._live.stop()
        if self._thread:
            self._thread.join()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        passed = timedelta(seconds=int(time.time() - self.start))
        self.console.print(f'{passed}  {text}', markup=False)
        sys.stdout.flush()

    def update(self, name: str) -> None:
        """A line has changed."""
        last = self._shown.get(name, 0)
        if not self._live and time.time() - last >= PATIENCE and name in self.lines:
            self._shown[name] = time.time()
            self.say(f'{self.lines[name]}{self._whole()}')

    def _beat(self) -> None:
        while not self._stop.wait(1):
            for name in list(self.lines):
                if time.time() - self._shown.setdefault(name, time.time()) >= PATIENCE:
                    self.update(name)

    def _table(self) -> Table:
        table = Table.grid()
        for line in list(self.lines.values()):
            table.add_row(str(line))
        whole = self._whole().strip()
        if whole:
            table.add_row(whole)
        return table

    def _whole(self) -> str:
        seconds = self._to_come() if self._to_come else None
        return f'  whole: {timedelta(seconds=int(seconds))} to go' if seconds else ''
