"""Distil a small digit detector on the CPU.

It makes a detection set out of the handwritten digits that scikit-learn ships, and
calls `luminet distill` on it: a teacher, the small student alone, with KD and with
LumiNet. What is complete is skipped, so an interrupted demo goes on where it stopped.
"""

import argparse
import os.path as osp
import sys

from mmengine import load

from luminet_mm.commands import main as luminet
from luminet_mm.datasets import write_digit_scenes
from luminet_mm.files import new_folder

CONFIGS = osp.join(osp.dirname(osp.dirname(osp.abspath(__file__))), 'configs', 'demo')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--work-dir', default='work_dirs/demo', help='results')
    parser.add_argument('--data-root', default='data/digits', help='digit scenes')
    parser.add_argument('--seed', type=int, default=0, help='of data and trainings')
    return parser.parse_args()


def make_data(data_root: str, seed: int) -> None:
    """Make the data in a folder beside it, so that it is complete or absent."""
    if not osp.isdir(data_root):
        print(f'making {data_root}', flush=True)
        with new_folder(data_root) as unfinished:
            write_digit_scenes(unfinished, seed)
    annotations = load(osp.join(data_root, 'annotations', 'instances_test.json'))
    made_from = annotations['info']['seed']
    if made_from != seed:
        sys.exit(
            f'{data_root} was made from the seed {made_from}, not {seed}: '
            'give another --data-root, or delete that one'
        )


def main() -> None:
    args = parse_args()
    make_data(args.data_root, args.seed)
    luminet(
        [
            'distill',
            *(
                osp.join(CONFIGS, f'digits_{role}.py')
                for role in ('teacher', 'student')
            ),
            *('--alone', '--method', 'luminet', 'kd'),
            *('--seed', str(args.seed), '--work-dir', args.work_dir),
            # a small model gains little from a second core
            *('--jobs', '2'),
            '--cfg-options',
            f"data_root='{args.data_root}'",
            # the RPN needs some iterations before its proposals meet any digit
            *('model.warmup=250', 'model.warmup_by_epoch=False'),
        ]
    )


if __name__ == '__main__':
    main()
