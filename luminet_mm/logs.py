"""What trainings have logged in their work dirs."""

import json
import os.path as osp
from glob import glob
from typing import Dict


def read_validations(work_dir: str) -> Dict[int, Dict[str, float]]:
    """Read the validations of a training from mmengine's logs.

    Args:
        work_dir (str): Work dir of the training, with one folder for each start; of
            a step that two starts validated the later one counts.

    Returns:
        dict[int, dict[str, float]]: Metrics by their names in the log, such as
        'accuracy/top1' or 'coco/bbox_mAP', for each epoch or iteration in ascending
        order; empty if there is no training or it was never validated.
    """
    validations = {}
    for path in sorted(glob(osp.join(work_dir, '*', 'vis_data', 'scalars.json'))):
        with open(path) as f:
            for line in f:
                logged = json.loads(line)
                # an evaluator's metrics have its prefix, what training logs has none
                metrics = {key: v for key, v in logged.items() if '/' in key}
                if metrics:
                    validations[logged['step']] = metrics
    return dict(sorted(validations.items()))


def read_last_validation(work_dir: str) -> Dict[str, float]:
    """The metrics of the last of :func:`read_validations`, or an empty dict."""
    validations = read_validations(work_dir)
    return validations[max(validations)] if validations else {}
