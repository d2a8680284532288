"""Turn Tiny ImageNet as it is published into image folders of a smaller size.

Writes OUT/train/CLASS/*.png and OUT/val/CLASS/*.png, which mmpretrain's CustomDataset
reads, from train/CLASS/images/*.JPEG, val/images/*.JPEG and val/val_annotations.txt.
"""

import argparse
import os.path as osp
from pathlib import Path
from typing import Iterator, Tuple

import mmcv
from mmengine.utils import track_iter_progress

from luminet_mm.checks import check_number
from luminet_mm.files import new_folder


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

    Raises:
        ValueError: For a line of val_annotations.txt that names none of the images, or
            none of the classes that train/ has.
    """
    folders = sorted(path for path in Path(src, 'train').iterdir() if path.is_dir())
    for folder in folders:
        for path in sorted(folder.glob('images/*.JPEG')):
            yield 'train', folder.name, str(path)
    classes = {folder.name for folder in folders}
    images = {path.name for path in Path(src, 'val', 'images').iterdir()}
    labels = osp.join(src, 'val', 'val_annotations.txt')
    with open(labels) as f:
        for number, line in enumerate(f, 1):
            name, label = (line.rstrip('\n').split('\t') + [''])[:2]
            if name not in images or label not in classes:
                raise ValueError(
                    f'line {number} of {labels} is {line!r}: it must begin with the '
                    'name of a file in val/images, a tab, and a folder of train/'
                )
            images.remove(name)  # each has one label
            yield 'val', label, osp.join(src, 'val', 'images', name)


def main() -> None:
    args = parse_args()
    for needed in ('train', osp.join('val', 'val_annotations.txt')):
        if not osp.exists(osp.join(args.src, needed)):
            raise SystemExit(
                f'src={args.src!r} has no {needed}: give the folder that '
                'tiny-imagenet-200.zip unpacks to'
            )
    check_number('--size', args.size, at_least=1)
    with new_folder(args.out) as unfinished:
        for split, label, path in track_iter_progress(list(list_images(args.src))):
            image = mmcv.imread(path)
            if image is None:
                raise ValueError(f'{path} is no image')
            image = mmcv.imresize(image, (args.size, args.size), interpolation='area')
            name = osp.splitext(osp.basename(path))[0] + '.png'
            mmcv.imwrite(image, osp.join(unfinished, split, label, name))


if __name__ == '__main__':
    main()
