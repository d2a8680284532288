"""Make the COCO-format digit scenes of the demo from scikit-learn's digits."""

import argparse

from luminet_mm.datasets import write_digit_scenes


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('out_dir', help='folder to write to, e.g. data/digits')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--num-train', type=int, default=1600, help='train scenes')
    parser.add_argument('--num-val', type=int, default=100, help='val scenes')
    parser.add_argument('--num-test', type=int, default=400, help='test scenes')
    parser.add_argument('--size', type=int, default=128, help='side in pixels')
    return parser.parse_args()


if __name__ == '__main__':
    write_digit_scenes(**vars(parse_args()))
