"""Turn Tiny ImageNet as it is published into image folders of a smaller size.

Writes OUT/train/CLASS/*.png and OUT/val/CLASS/*.png, which mmpretrain's CustomDataset
reads, from train/CLASS/images/*.JPEG, val/images/*.JPEG and val/val_annotations.txt.
"""

import argparse
import os
import os.path as osp
from glob import glob
from typing import Iterator, Tuple

import mmcv
from mmengine.utils import track_iter_progress


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', help='the unpacked tiny-imagenet-200')
    parser.add_argument('out', help='the new folder, e.g. data/tiny-imagenet-32')
    parser.add_argument(
        '--size', type=int, default=32, help="pixels, default: 32, CIFAR's"
    )
    return parser.parse_args()


def list_images(src: str) -> Iterator[Tuple[str, str, str]]:
    """Find the labelled images.

    Args:
        src (str): The unpacked data set.

    Yields:
        tuple[str, str, str]: Split, class and path of an image.
    """
    for path in sorted(glob(osp.join(src, 'train', '*', 'images', '*.JPEG'))):
        yield 'train', path.split(os.sep)[-3], path
    with open(osp.join(src, 'val', 'val_annotations.txt')) as f:
        for line in f:
            name, label = line.split('\t')[:2]
            yield 'val', label, osp.join(src, 'val', 'images', name)


def main() -> None:
    args = parse_args()
    for needed in ('train', osp.join('val', 'val_annotations.txt')):
        if not osp.exists(osp.join(args.src, needed)):
            raise SystemExit(
                f'src={args.src!r} has no {needed}: give the folder that '
                'tiny-imagenet-200.zip unpacks to'
            )
    if osp.exists(args.out):
        raise SystemExit(f'out={args.out!r} exists: name a new folder')
    unfinished = args.out.rstrip(os.sep) + '.unfinished'
    images = list(list_images(args.src))
    for split, label, path in track_iter_progress(images):
        image = mmcv.imread(path)
        image = mmcv.imresize(image, (args.size, args.size), interpolation='area')
        name = osp.splitext(osp.basename(path))[0] + '.png'
        mmcv.imwrite(image, osp.join(unfinished, split, label, name))
    os.rename(unfinished, args.out)


if __name__ == '__main__':
    main()
