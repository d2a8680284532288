import os
import os.path as osp
from typing import Optional

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..checks import check_type, key_of
from ..distillers import BaseDistiller
from ..logs import read_last_validation
from ..never_stop import never_stop
from ..registry import HOOKS


@HOOKS.register_module()
class ComparisonHook(Hook):
    """Compares a distilled student, at the end, with what it came from.

    One line sets its first validation metric beside those of the student trained
    alone and of each teacher, as far as the logs of their trainings are found: a
    teacher's in the folder of its checkpoint, the student's where ``student_dir``
    says. A model that is no distiller is let alone.

    Args:
        student_dir (str, optional): Work dir of the student trained alone.
            Defaults to None, the folder beside this run's work dir that is named
            as the student's config, where ``tools/train.py`` puts it.

    Raises:
        TypeError: If ``student_dir`` is no path.
    """

    priority = 'VERY_LOW'  # the last validation is in the log by then

    def __init__(self, student_dir: Optional[str] = None) -> None:
        if student_dir is not None:
            key = key_of(self, 'student_dir')
            check_type(key, student_dir, (str, os.PathLike), 'the path of a folder')
        self.student_dir = student_dir

    @master_only
    @never_stop
    def after_train(self, runner: Runner) -> None:
        """Log the comparison, if there is anything to compare with."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        distilled = read_last_validation(runner.work_dir)
        if not isinstance(model, BaseDistiller) or not distilled:
            return
        metric, value = next(iter(distilled.items()))
        alone = read_last_validation(self._student_dir(model, runner.work_dir)).get(
            metric
        )
        parts = [] if alone is None else [f'student alone {alone:.4g}']
        for teacher in getattr(model, 'teachers', ()):
            number = read_last_validation(osp.dirname(teacher.ckpt)).get(metric)
            if number is not None:
                parts.append(f'teacher {number:.4g}')
        if parts:
            gain = '' if alone is None else f' ({value - alone:+.3g} over alone)'
            parts.append(f'distilled student {value:.4g}{gain}')
            print_log(f'{metric}: {", ".join(parts)}', logger='current')

    def _student_dir(self, model: BaseDistiller, work_dir: str) -> str:
        name = osp.splitext(osp.basename(model.student_name))[0]
        return self.student_dir or osp.join(osp.dirname(osp.abspath(work_dir)), name)
