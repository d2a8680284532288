"""What came out of a distillation: rows, a table, a picture."""

import os.path as osp
import subprocess
import sys
from typing import Dict, List, Sequence

from mmengine import dump
from mmengine.config import Config

from ..checkpoints import CONNECTORS, read_checkpoint
from ..logs import read_training_time
from .data import Data
from .training import TOOLS, Training

STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')
# Metrics of which a fraction is meant, by COCO's habit
NAMES = {
    'coco/bbox_mAP': 'AP',
    'coco/bbox_mAP_50': 'AP50',
    'coco/bbox_mAP_75': 'AP75',
    'coco/segm_mAP': 'mask AP',
    'accuracy/top1': 'top-1',
    'accuracy/top5': 'top-5',
}
FRACTIONS = 'coco/'
MAX_CLASSES = 40  # rows of the table of classes


def measure(training: Training) -> dict:
    """One row of the table.

    Args:
        training (Training): One that is trained and tested.

    Returns:
        dict: ``model``, ``params``, ``megabytes`` of the weights, ``seconds`` of the
        training iterations, ``checkpoint``, ``config`` to test it with, and the
        metrics in percent by the names of :data:`NAMES`.
    """
    weights = read_checkpoint(training.checkpoint, training.name)['state_dict']
    weights = {k: v for k, v in weights.items() if not k.startswith(CONNECTORS)}
    row = dict(
        name=training.name,
        model=training.title,
        params=sum(w.numel() for k, w in weights.items() if not k.endswith(STATISTICS)),
        megabytes=sum(w.numel() * w.element_size() for w in weights.values()) / 1e6,
        seconds=read_training_time(
            training.work_dir,
            Config.fromfile(training.config).default_hooks.logger.interval,
        ),
        checkpoint=training.checkpoint,
        config=training.test_config,
    )
    for name, value in training.metrics.items():
        if name in NAMES:
            row[NAMES[name]] = 100 * value if name.startswith(FRACTIONS) else value
        elif '/' in name and not any(known in training.metrics for known in NAMES):
            row[name] = value
    if not training.metrics and 'head' not in Config.fromfile(row['config']).model:
        row['AP'] = 0.0  # nothing is detected, of which COCO's metric says nothing
    return row


def metrics_of(rows: Sequence[dict]) -> List[str]:
    """The metrics that rows have, the first one being what counts."""
    named = dict.fromkeys(key for row in rows for key in row if '/' in key)
    known = [*NAMES.values(), *named]
    return [name for name in known if any(name in row for row in rows)]


def format_table(rows: Sequence[dict]) -> str:
    """The rows as a Markdown table that is aligned in a terminal, too.

    The gain is over the student alone, where that was trained.
    """
    metrics = metrics_of(rows)
    alone = next((row for row in rows if row['name'] == 'student'), None)
    header = ['', *metrics, 'gain', 'parameters', 'weights', 'training']
    cells = []
    for row in rows:
        gain = ''
        if alone and metrics and row['name'] not in ('teacher', 'student'):
            pair = [each.get(metrics[0]) for each in (row, alone)]
            gain = f'{pair[0] - pair[1]:+.1f}' if None not in pair else ''
        cells.append(
            [
                row['model'],
                *(f'{row[m]:.1f}' if m in row else '' for m in metrics),
                gain,
                f'{row["params"] / 1e6:.2f} M',
                f'{row["megabytes"]:.1f} MB',
                f'{row["seconds"] / 60:.1f} min' if row['seconds'] else '',
            ]
        )
    if not alone:
        header.remove('gain')
        cells = [
            [c for i, c in enumerate(row) if i != 1 + len(metrics)] for row in cells
        ]
    return markdown([header, *cells])


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """Rows of texts as a Markdown table; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = [
        '| '
        + ' | '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        + ' |'
        for row in cells
    ]
    lines.insert(1, '|-' + '-|-'.join('-' * width for width in widths) + '-|')
    return '\n'.join(lines) + '\n'


def write(rows: Sequence[dict], work_dir: str) -> str:
    """Write ``results.json`` and ``results.md``; returns the table."""
    table = format_table(rows)
    dump(list(rows), osp.join(work_dir, 'results.json'), indent=2)
    with open(osp.join(work_dir, 'results.md'), 'w') as f:
        f.write(table)
    return table


def paint(trainings: Dict[str, Training], work_dir: str) -> str:
    """Draw the detections of teacher, student alone and distilled student.

    Returns:
        str: Where the picture is, or why there is none.
    """
    distilled = next(
        t for name, t in trainings.items() if name not in ('teacher', 'student')
    )
    path = osp.join(work_dir, 'detections.png')
    command = [
        *(sys.executable, osp.join(TOOLS, 'analysis_tools', 'draw_detections.py')),
        *(distilled.config, distilled.checkpoint, '--out', path),
        *('--work-dir', osp.join(work_dir, 'picture')),
    ]
    if 'student' in trainings:
        command += ['--student-ckpt', trainings['student'].checkpoint]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return f'not drawn: {(done.stderr.strip() or "?").splitlines()[-1]}'
    return path


def table_of_classes(data: Data) -> str:
    """Boxes or images of each class in each split, those of crowds apart."""
    counts = data.splits['train'].counts
    names = list(data.classes)
    note = ''
    if len(names) > MAX_CLASSES:
        names = sorted(names, key=counts.get)[:MAX_CLASSES]
        note = f'(the {MAX_CLASSES} rarest of {len(counts)} classes)\n'
    rows = [[f'{data.counted} of', *data.splits]]
    for name in names:
        row = [name]
        for split in data.splits.values():
            crowds = split.crowds.get(name)
            row.append(
                f'{split.counts[name]}' + (f' + {crowds} crowds' if crowds else '')
            )
        rows.append(row)
    rows.append(['all images', *(str(len(s.images)) for s in data.splits.values())])
    return markdown(rows) + note
