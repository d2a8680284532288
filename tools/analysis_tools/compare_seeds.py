"""Compare trainings that were repeated with several seeds.

Reads ROOT/SEED/NAME, one work dir for each seed and training, or the file that
pack_logs.py made of them, and prints a table in Markdown: of each NAME the mean and the
standard deviation (n - 1) over the seeds of the last validation's metrics, and the mean
gain over the training that --baseline names. The epoch (or iteration) of that
validation is shown, since a training may not be at its end; with --test the metrics are
those of the last test that logged to the work dir. Metrics that are fractions, such as
COCO's, have four decimals, percentages two.
"""

import argparse
import os.path as osp
import statistics
import sys
from typing import Dict, Union

import numpy as np

from luminet_mm.logs import (
    open_folder,
    read_last_test,
    read_unit,
    read_validations,
    subfolders,
)

Validations = Dict[Union[int, str], Dict[str, float]]  # a test is the 'last'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'root', help='folder with one folder for each seed, or a file of pack_logs.py'
    )
    parser.add_argument('--names', nargs='+', help='trainings (default: all there are)')
    parser.add_argument('--baseline', help='training that gains are counted from')
    parser.add_argument(
        '--metrics',
        nargs='+',
        default=['accuracy/top1', 'accuracy/top5'],
        help='columns, e.g. coco/bbox_mAP coco/bbox_mAP_50 coco/bbox_mAP_75 '
        '(default: accuracy/top1 accuracy/top5)',
    )
    parser.add_argument(
        '--curve',
        metavar='FILE',
        help='also draw the first metric over the epochs, mean and range of the seeds',
    )
    parser.add_argument(
        '--test',
        action='store_true',
        help='compare the tests by tools/test.py --work-dir, not the validations',
    )
    args = parser.parse_args()
    if args.test and args.curve:
        parser.error('--curve: a test has no curve, leave --test out')
    return args


def read_runs(root: str, test: bool = False) -> Dict[str, Dict[str, Validations]]:
    """All trainings below the root that were validated, or tested.

    Args:
        root (str): Folder with one folder for each seed, or such a folder packed.
        test (bool): Whether to read the last test in place of the validations.
            Defaults to False.

    Returns:
        dict: Name of the training -> name of the seed -> its validations.
    """
    runs: Dict[str, Dict[str, Validations]] = {}
    for seed in subfolders(root):
        for folder in subfolders(seed):
            if test:
                metrics = read_last_test(folder)
                validations = {'last': metrics} if metrics else {}
            else:
                validations = read_validations(folder)
            if validations:
                runs.setdefault(folder.name, {})[seed.name] = validations
    return runs


def last(validations: Validations, metric: str) -> float:
    return validations[max(validations)][metric]


def num_digits(runs: Dict[str, Dict[str, Validations]], metric: str) -> int:
    """Decimals to print: a fraction's are as many as its percentage's, and two."""
    values = [last(seed, metric) for seeds in runs.values() for seed in seeds.values()]
    return 2 if any(value > 1 for value in values) else 4  # a NaN is neither


def format_row(
    name: str, seeds: Dict[str, Validations], baseline: dict, digits: Dict[str, int]
) -> str:
    """One line of the table, with the decimals of each metric."""
    epochs = sorted({max(validations) for validations in seeds.values()})
    cells = [name, str(len(seeds)), ', '.join(map(str, epochs))]
    for metric, n in digits.items():
        values = [last(validations, metric) for validations in seeds.values()]
        spread = f' ± {np.std(values, ddof=1):.{n}f}' if len(values) > 1 else ''
        cells.append(f'{statistics.mean(values):.{n}f}{spread}')
    metric, n = next(iter(digits.items()))
    # seeds that both have: the same seed draws the same batches
    gains = [
        last(seeds[seed], metric) - last(baseline[seed], metric)
        for seed in seeds.keys() & baseline.keys()
    ]
    cells.append(f'{statistics.mean(gains):+.{n}f}' if gains else '')
    return f'| {" | ".join(cells)} |'


def main() -> None:
    args = parse_args()
    runs = read_runs(args.root, args.test)
    names = args.names or list(runs)
    wanted = names if args.baseline is None else [*names, args.baseline]
    missing = [name for name in wanted if name not in runs]
    kind = 'tested' if args.test else 'validated'
    if not runs:
        raise SystemExit(
            f'{args.root!r} has no {kind} training: no such folder or packed file, '
            'or none of its folders SEED/NAME is the work dir of one'
        )
    if missing:
        raise SystemExit(
            f'{args.root!r} has no {kind} training {missing}, only {list(runs)}'
        )
    baseline = runs.get(args.baseline, {})
    runs = {name: runs[name] for name in names}
    compared = {**runs, **({args.baseline: baseline} if baseline else {})}
    for name, seeds in compared.items():
        for seed, validations in seeds.items():
            logged = validations[max(validations)]
            if not set(args.metrics) <= set(logged):
                raise SystemExit(
                    f'--metrics {" ".join(args.metrics)}: the last '
                    f'{"test" if args.test else "validation"} of '
                    f'{osp.join(args.root, seed, name)} has only {sorted(logged)}'
                )
    name, seeds = next(iter(runs.items()))
    unit = read_unit(open_folder(args.root) / next(iter(seeds)) / name)
    unit = 'test' if args.test else unit
    print(f'| training | seeds | {unit} | {" | ".join(args.metrics)} | gain |')
    print('|---' * (4 + len(args.metrics)) + '|')
    digits = {metric: num_digits(runs, metric) for metric in args.metrics}
    for name, seeds in runs.items():
        print(format_row(name, seeds, baseline, digits))
    if args.curve:
        from luminet_mm.visualization import draw_curves

        repeated = {name: list(seeds.values()) for name, seeds in runs.items()}
        draw_curves(repeated, args.metrics[0], unit).savefig(args.curve)
        print(f'curves: {args.curve}', file=sys.stderr)  # no part of the table


if __name__ == '__main__':
    main()
