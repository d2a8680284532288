import logging
import traceback
from functools import wraps
from typing import Any, Callable

from mmengine.logging import print_log


def never_stop(method: Callable) -> Callable:
    """Let what watches a run, a hook or a logger, fail without ending it.

    A log or a picture is worth less than a training: whatever is raised is logged once,
    and from then on all methods of that object that are decorated do nothing.

    Args:
        method (Callable): One that returns nothing.

    Returns:
        Callable: The method, which raises no ``Exception``.
    """

    @wraps(method)
    def guarded(self, *args: Any, **kwargs: Any) -> None:
        if getattr(self, '_failed', False):
            return
        try:
            method(self, *args, **kwargs)
        except Exception:  # models, painters and disks have their own
            self._failed = True
            print_log(
                f'{type(self).__name__} is off for the rest of this run, which goes on '
                f'without it:\n{traceback.format_exc()}',
                logger='current',
                level=logging.WARNING,
            )

    return guarded
