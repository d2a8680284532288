"""Make the COCO-format digit scenes of the demo from scikit-learn's digits."""

import argparse

from luminet_mm.checks import check_number
from luminet_mm.datasets import write_digit_scenes
from luminet_mm.files import new_folder


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('out_dir', help='the new folder, e.g. data/digits')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--num-train', type=int, default=1600, help='train scenes')
    parser.add_argument('--num-val', type=int, default=100, help='val scenes')
    parser.add_argument('--num-test', type=int, default=400, help='test scenes')
    parser.add_argument('--size', type=int, default=128, help='side in pixels')
    return parser.parse_args()


def main() -> None:
    settings = vars(parse_args())
    out_dir = settings.pop('out_dir')
    for name, number in settings.items():
        check_number(f'--{name.replace("_", "-")}', number, at_least=0)
    with new_folder(out_dir) as unfinished:
        write_digit_scenes(unfinished, **settings)


if __name__ == '__main__':
    main()
