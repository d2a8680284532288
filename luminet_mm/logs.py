"""What trainings have logged in their work dirs."""

import json
import os
import os.path as osp
from glob import escape, glob
from numbers import Real
from typing import Dict, Iterator


def read_scalars(work_dir: str) -> Iterator[dict]:
    """Read what a training logged, from all its starts.

    Args:
        work_dir (str): Work dir of the training, with one folder for each start.

    Yields:
        dict: One line of mmengine's log, in the order of time: losses and times of
        training iterations, or the metrics of a validation. A line that a kill cut
        off is passed over.
    """
    starts = osp.join(escape(os.fspath(work_dir)), '*', 'vis_data', 'scalars.json')
    for path in sorted(glob(starts)):
        with open(path, errors='replace') as f:
            for line in f:
                try:
                    logged = json.loads(line)
                except ValueError:
                    continue
                if isinstance(logged, dict):
                    yield logged


def read_validations(work_dir: str) -> Dict[int, Dict[str, float]]:
    """The validations among :func:`read_scalars`.

    Args:
        work_dir (str): Work dir of the training; of a step that two starts validated
            the later one counts.

    Returns:
        dict[int, dict[str, float]]: Metrics by their names in the log, such as
        'accuracy/top1' or 'coco/bbox_mAP', for each epoch or iteration in ascending
        order; empty if there is no training or it was never validated.
    """
    validations = {}
    for logged in read_scalars(work_dir):
        metrics = _metrics(logged)
        if metrics and isinstance(logged.get('step'), int):
            validations[logged['step']] = metrics
    return dict(sorted(validations.items()))


def read_last_validation(work_dir: str) -> Dict[str, float]:
    """The metrics of the last of :func:`read_validations`, or an empty dict."""
    validations = read_validations(work_dir)
    return validations[max(validations)] if validations else {}


def read_last_test(work_dir: str) -> Dict[str, float]:
    """Read the metrics of a test from mmengine's log.

    Args:
        work_dir (str): Work dir of the test, e.g. ``tools/test.py --work-dir``; of
            several tests the last one counts whose file is whole.

    Returns:
        dict[str, float]: Metrics by their names in the log; empty without a test.
    """
    # START/START.json, both the time of the start
    paths = glob(osp.join(escape(os.fspath(work_dir)), '[0-9]*', '[0-9]*.json'))
    for path in sorted(paths, reverse=True):
        with open(path, errors='replace') as f:
            try:
                # only the first document: every process of a distributed test writes
                # the file, and a longer one's end may be left behind it
                logged, _ = json.JSONDecoder().raw_decode(f.read())
            except ValueError:
                continue
        if isinstance(logged, dict):
            return _metrics(logged)
    return {}


def _metrics(logged: dict) -> Dict[str, float]:
    """The numbers that have an evaluator's prefix, as no loss or time has."""
    return {
        key: value
        for key, value in logged.items()
        if '/' in key and isinstance(value, Real) and not isinstance(value, bool)
    }


def read_unit(work_dir: str) -> str:
    """What a training's validations count: 'epoch', or 'iteration'."""
    return (
        'epoch'
        if any('epoch' in log for log in read_scalars(work_dir))
        else 'iteration'
    )


def read_training_time(work_dir: str, interval: int) -> float:
    """Add up the time of the training iterations over all starts of a training.

    Args:
        work_dir (str): Work dir of the training.
        interval (int): Iterations of which a line of the log gives the mean time, with
            a ``log_processor.window_size`` of as many.

    Returns:
        float: Seconds, without validations, checkpoints and the start-up.
    """
    times = [log['time'] for log in read_scalars(work_dir) if 'loss' in log]
    return sum(times) * interval
