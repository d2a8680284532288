"""What trainings have logged in their work dirs."""

import json
import os
from numbers import Real
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Union
from zipfile import Path as ZipPath
from zipfile import is_zipfile

Folder = Union[str, os.PathLike, ZipPath]


def open_folder(path: Folder) -> Union[Path, ZipPath]:
    """Open a folder of logs, be it packed by ``tools/analysis_tools/pack_logs.py``.

    Args:
        path (str | PathLike | zipfile.Path): A folder, a zip file of one, or a folder
            inside of such a file.

    Returns:
        Path | zipfile.Path: The folder, there or not.
    """
    if isinstance(path, ZipPath):
        return path
    return ZipPath(os.fspath(path)) if is_zipfile(path) else Path(path)


def subfolders(path: Folder) -> List[Union[Path, ZipPath]]:
    """The folders in a folder of logs, by name; none where there is no such folder."""
    folder = open_folder(path)
    if not folder.is_dir():
        return []
    folders = (child for child in folder.iterdir() if child.is_dir())
    return sorted(folders, key=lambda child: child.name)


def read_scalars(work_dir: Folder) -> Iterator[dict]:
    """Read what a training logged, from all its starts.

    Args:
        work_dir (str | PathLike | zipfile.Path): Work dir of the training, with one
            folder for each start, see :func:`open_folder`.

    Yields:
        dict: One line of mmengine's log, in the order of time: losses and times of
        training iterations, or the metrics of a validation. A line that a kill cut
        off is passed over.
    """
    for start in subfolders(work_dir):
        for line in _read(start / 'vis_data' / 'scalars.json').splitlines():
            try:
                logged = json.loads(line)
            except ValueError:
                continue
            if isinstance(logged, dict):
                yield logged


def read_validations(work_dir: Folder) -> Dict[int, Dict[str, float]]:
    """The validations among :func:`read_scalars`.

    Args:
        work_dir (str | PathLike | zipfile.Path): Work dir of the training; of a step
            that two starts validated the later one counts.

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


def read_last_validation(work_dir: Folder) -> Dict[str, float]:
    """The metrics of the last of :func:`read_validations`, or an empty dict."""
    validations = read_validations(work_dir)
    return validations[max(validations)] if validations else {}


def read_last_test(work_dir: Folder) -> Dict[str, float]:
    """Read the metrics of a test from mmengine's log.

    Args:
        work_dir (str | PathLike | zipfile.Path): Work dir of the test, e.g.
            ``tools/test.py --work-dir``; of several tests the last one counts whose
            file is whole.

    Returns:
        dict[str, float]: Metrics by their names in the log; empty without a test.
    """
    return _metrics(_last_test(work_dir) or {})


def has_test(work_dir: Folder) -> bool:
    """Whether :func:`read_last_test` finds a test, be it one without any metric, as
    COCO's is where nothing is detected."""
    return _last_test(work_dir) is not None


def _last_test(work_dir: Folder) -> Optional[dict]:
    for start in reversed(subfolders(work_dir)):
        text = _read(start / f'{start.name}.json')
        try:
            # only the first document: every process of a distributed test writes the
            # file, and a longer one's end may be left behind it
            logged, _ = json.JSONDecoder().raw_decode(text)
        except ValueError:
            continue
        if isinstance(logged, dict):
            return logged
    return None


def _read(path: Union[Path, ZipPath]) -> str:
    """A file's text; '' where there is none."""
    # bytes, since zip files are opened as text from Python 3.9 on only
    return path.read_bytes().decode(errors='replace') if path.exists() else ''


def _metrics(logged: dict) -> Dict[str, float]:
    """The numbers that have an evaluator's prefix, as no loss or time has."""
    return {
        key: value
        for key, value in logged.items()
        if '/' in key and isinstance(value, Real) and not isinstance(value, bool)
    }


def read_unit(work_dir: Folder) -> str:
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
