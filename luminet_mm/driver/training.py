"""One training of a distillation and the test of what comes out, in a folder."""

import os
import os.path as osp
import subprocess
import sys
from collections import deque
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from mmengine.config import Config

from ..files import MIM
from ..logs import has_test, read_last_test
from .configs import length

TOOLS = osp.join(MIM, 'tools')
TAIL = 30  # lines of a failed process that are shown


class Training:
    """A training, its test, and what they have left.

    Args:
        name (str): Of its folder and its config.
        title (str): In tables.
        work_dir (str): Of the whole distillation.
        test (str): Name of the training with whose config it is tested, which is the
            plain student's for one that is distilled.
        gpus (int): Processes.
    """

    def __init__(
        self, name: str, title: str, work_dir: str, test: str, gpus: int = 1
    ) -> None:
        self.name = name
        self.title = title
        self.config = osp.join(work_dir, f'{name}.py')
        self.work_dir = osp.join(work_dir, name)
        self.test_config = osp.join(work_dir, f'{test}.py')
        self.gpus = gpus

    @property
    def checkpoint(self) -> str:
        """The last checkpoint of the whole training, there or not yet."""
        return self.checkpoint_of(Config.fromfile(self.config))

    def checkpoint_of(self, cfg: Config) -> str:
        """The same, of a config that is not written yet."""
        unit = 'epoch' if 'max_epochs' in cfg.train_cfg else 'iter'
        return osp.join(self.work_dir, f'{unit}_{length(cfg)}.pth')

    @property
    def is_trained(self) -> bool:
        """Whether the last checkpoint is there; the runner names it when whole."""
        latest = osp.join(self.work_dir, 'last_checkpoint')
        if not osp.isfile(latest) or not osp.isfile(self.checkpoint):
            return False
        with open(latest) as f:
            return osp.basename(f.read().strip()) == osp.basename(self.checkpoint)

    @property
    def metrics(self) -> Dict[str, float]:
        """What the test measured; empty without one, or where nothing is found."""
        return read_last_test(osp.join(self.work_dir, 'test'))

    def commands(self) -> List[Tuple[str, List[str]]]:
        """What is still to be run: 'training' or 'test', and the arguments."""
        train = [self.config, '--work-dir', self.work_dir, '--resume']
        test = [self.test_config, self.checkpoint]
        test += ['--work-dir', osp.join(self.work_dir, 'test')]
        commands = []
        if not self.is_trained:
            commands.append(('training', self._command('train', *train)))
        if not has_test(osp.join(self.work_dir, 'test')):
            commands.append(('test', self._command('test', *test)))
        return commands

    def _command(self, tool: str, *arguments: str) -> List[str]:
        if self.gpus > 1:
            script = osp.join(TOOLS, f'dist_{tool}.sh')
            config, *rest = arguments
            before = [config] if tool == 'train' else [config, rest.pop(0)]
            return ['bash', script, *before, str(self.gpus), *rest]
        return [sys.executable, osp.join(TOOLS, f'{tool}.py'), *arguments]

    def run(
        self,
        command: List[str],
        read: Callable[[str], None],
        started: Callable[[subprocess.Popen], None],
        env: Optional[Dict[str, str]] = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Run a command; all its output goes to ``output.log`` in the work dir.

        Args:
            command (list[str]): One of :meth:`commands`.
            read (callable): Is given each line of the output.
            started (callable): Is given the process.
            env (dict, optional): Its environment. Defaults to None, this process's.
            pass_fds (Sequence[int]): File descriptors that stay open in it, see
                :func:`locked`. Defaults to none.

        Raises:
            ValueError: If it fails, with its last words.
        """
        os.makedirs(self.work_dir, exist_ok=True)
        path = osp.join(self.work_dir, 'output.log')
        tail = deque(maxlen=TAIL)
        with open(path, 'a') as log, subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            env=env,
            pass_fds=pass_fds,
        ) as process:
            started(process)
            for line in process.stdout:
                log.write(line)
                log.flush()
                tail.append(line)
                read(line)
        if process.returncode:
            raise ValueError(f'{_last_words(tail)}\n(all of it: {path})')


def _last_words(tail: 'deque[str]') -> str:
    """What a process said last: the message of its exception, or all lines."""
    for index in range(len(tail) - 1, -1, -1):
        kind, colon, message = tail[index].partition(': ')
        if colon and kind.endswith(('Error', 'Exception')) and ' ' not in kind:
            rest = ''.join(list(tail)[index + 1 :])
            return (message + rest).strip()
    return ''.join(tail).strip()
