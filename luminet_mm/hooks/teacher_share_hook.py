from collections import deque
from typing import Deque, Optional, Tuple

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..checks import check_number, key_of
from ..distillers import LogitDistiller
from ..distillers.stopwatch import Stopwatch
from ..never_stop import never_stop
from ..registry import HOOKS


@HOOKS.register_module()
class TeacherShareHook(Hook):
    """Logs ``teacher_share``: the part of a training step that teachers' forwards take.

    A step is what is computed between loading a batch and the hooks after it. Both
    times are the device's own, and nothing waits for it. A model that has no frozen
    teacher is let alone.

    Args:
        interval (int): Iterations that are averaged over, the last ones. Defaults to
            50, the interval of mmengine's logger.

    Raises:
        TypeError, ValueError: If ``interval`` is no such number.
    """

    def __init__(self, interval: int = 50) -> None:
        check_number(key_of(self, 'interval'), interval, at_least=1, integer=True)
        self.step = Stopwatch()
        # of teachers and steps, at the ends of the last iterations
        self.seconds: Deque[Tuple[float, float]] = deque([(0.0, 0.0)], interval + 1)

    @never_stop
    def before_train(self, runner: Runner) -> None:
        """Start from the time that this start's teachers have taken before."""
        model = _distiller(runner)
        if model is not None:
            self.seconds.clear()
            self.seconds.append((model.teacher_time.read(), self.step.read()))

    @never_stop
    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None
    ) -> None:
        """Start the step."""
        model = _distiller(runner)
        if model is not None:
            self.step.start(next(model.parameters()).device)

    @never_stop
    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """End the step, and tell the log the share so far."""
        model = _distiller(runner)
        if model is None:
            return
        self.step.stop()
        self.seconds.append((model.teacher_time.read(), self.step.read()))
        (teacher, step), (teacher_now, step_now) = self.seconds[0], self.seconds[-1]
        if step_now > step:
            share = (teacher_now - teacher) / (step_now - step)
            runner.message_hub.update_scalar('train/teacher_share', share)


def _distiller(runner: Runner) -> Optional[LogitDistiller]:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model if isinstance(model, LogitDistiller) else None
