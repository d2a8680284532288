"""Draw a validation metric of several trainings over their time, in one plot.

Of a training that is repeated with several seeds, tools/analysis_tools/compare_seeds.py
draws mean and range.
"""

import argparse
import os
import os.path as osp

from luminet_mm.visualization import curves_of


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', help='file to write, e.g. curves.svg or curves.png')
    parser.add_argument('work_dirs', nargs='+', help='work dirs of the trainings')
    parser.add_argument(
        '--metric',
        default='coco/bbox_mAP',
        help='its name in the log (default: coco/bbox_mAP)',
    )
    parser.add_argument(
        '--names', nargs='+', help='titles (default: names of the work dirs)'
    )
    args = parser.parse_args()
    if args.names is None:
        args.names = [osp.basename(osp.abspath(path)) for path in args.work_dirs]
    if len(set(args.names)) != len(args.work_dirs):
        parser.error(f'--names {args.names}: name each of {args.work_dirs} differently')
    return args


def main() -> None:
    args = parse_args()
    try:
        figure = curves_of(args.work_dirs, args.names, args.metric)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    os.makedirs(osp.dirname(osp.abspath(args.out)), exist_ok=True)
    figure.savefig(args.out)
    print(f'curves: {args.out}')


if __name__ == '__main__':
    main()
