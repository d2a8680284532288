"""Copy a folder of configs that comes with luminet_mm, to be changed.

image_folder   a classifier on images of your own, a folder for each class
coco_format    a detector on boxes of your own, in COCO's format
"""

import argparse
import os.path as osp
import shlex
import shutil
from glob import glob

from ..files import MIM, new_folder

# Those whose files name only each other, mmdet's and mmpretrain's: how names begin
FOLDERS = dict(image_folder='folder', coco_format='coco_format')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to copy, and where to."""
    parser.add_argument('folder', choices=FOLDERS, help='what to copy')
    parser.add_argument('to', metavar='DIR', help='a new folder, e.g. configs/mine')


def run(args: argparse.Namespace) -> None:
    """Copy, and say what is next.

    Raises:
        ValueError: If ``DIR`` exists.
    """
    with new_folder(args.to) as folder:
        for path in glob(osp.join(MIM, 'configs', args.folder, '*.py')):
            shutil.copy(path, folder)
    start = osp.join(args.to, FOLDERS[args.folder])
    train = ['python', osp.join(MIM, 'tools', 'train.py'), f'{start}_teacher.py']
    print(
        f'Name your data and classes in {start}_data.py. Then train {start}_teacher.py,'
        f' {start}_student.py to compare with, and {start}_luminet.py, each as\n'
        f'{shlex.join(train)}'
    )
