import json
import os.path as osp
from glob import glob
from typing import Dict, Optional

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..distillers import BaseDistiller
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
    """

    priority = 'VERY_LOW'  # the last validation is in the log by then

    def __init__(self, student_dir: Optional[str] = None) -> None:
        self.student_dir = student_dir

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Log the comparison, if there is anything to compare with."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        distilled = last_metrics(runner.work_dir)
        if not isinstance(model, BaseDistiller) or not distilled:
            return
        metric, value = next(iter(distilled.items()))
        alone = last_metrics(self._student_dir(model, runner.work_dir)).get(metric)
        parts = [] if alone is None else [f'student alone {alone:.4g}']
        for teacher in getattr(model, 'teachers', ()):
            number = last_metrics(osp.dirname(teacher.ckpt)).get(metric)
            if number is not None:
                parts.append(f'teacher {number:.4g}')
        if parts:
            gain = '' if alone is None else f' ({value - alone:+.3g} over alone)'
            parts.append(f'distilled student {value:.4g}{gain}')
            print_log(f'{metric}: {", ".join(parts)}', logger='current')

    def _student_dir(self, model: BaseDistiller, work_dir: str) -> str:
        name = osp.splitext(osp.basename(model.student_name))[0]
        return self.student_dir or osp.join(osp.dirname(osp.abspath(work_dir)), name)


def last_metrics(work_dir: str) -> Dict[str, float]:
    """The last validation that a training logged.

    Args:
        work_dir (str): Work dir of the training, with one folder for each start.

    Returns:
        dict[str, float]: Metrics by their names in the log, 'accuracy/top1' or
        'coco/bbox_mAP'; empty if there is no training or it was never validated.
    """
    metrics = {}
    for path in sorted(glob(osp.join(work_dir, '*', 'vis_data', 'scalars.json'))):
        with open(path) as f:
            for line in f:
                found = json.loads(line)
                # an evaluator's metrics have its prefix, what training logs has none
                metrics = {k: v for k, v in found.items() if '/' in k} or metrics
    return metrics
