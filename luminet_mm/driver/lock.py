"""One distillation at a time in a work dir."""

import os.path as osp
from contextlib import contextmanager
from typing import Iterator, Tuple

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None


@contextmanager
def locked(work_dir: str) -> Iterator[Tuple[int, ...]]:
    """Keep other distillations out of a work dir, on this machine at least.

    The lock is the process's, not the file's: it ends with the last process that has
    it, however that ends. A training that is given it holds it even if the distillation
    that began it was killed.

    Args:
        work_dir (str): A folder that is there.

    Yields:
        tuple[int, ...]: File descriptors to hand to trainings, see ``pass_fds`` of
        :class:`subprocess.Popen`. Empty where there are no locks: some file systems
        have none, and a run does not end for that.

    Raises:
        ValueError: If another distillation runs there.
    """
    fds = ()
    with open(osp.join(work_dir, '.lock'), 'w') as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fds = (file.fileno(),)
        except BlockingIOError:
            raise ValueError(
                f'--work-dir {work_dir}: another distillation runs there, or a '
                'training that it began; wait until it has ended, or end it'
            ) from None
        except OSError:  # no locks here
            pass
        yield fds
