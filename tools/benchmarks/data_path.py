"""Images a second that a data path delivers to the model.

A path is the data loader and the preprocessor in training mode, ends on the
device, and crops and flips at random: mmpretrain's pipeline with and without
worker processes, and luminet_mm's cache with the augmentation on the batch. All
are built by mmengine's runner and measured in turn, so that what else the
machine does meets them alike.

The images are random ones of CIFAR's size, made on the spot. They are in memory
already in every path, as those of CIFAR are: an image folder, which mmpretrain
reads and decodes again in each epoch, would be slower still.
"""

import argparse
import statistics
from typing import Callable, List

import numpy as np
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS
from timing import measure, parser, print_heading, print_table, write_json

from luminet_mm.registry import MODELS

CROP_FLIP = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
]
PIXELS = dict(
    num_classes=100, mean=[129.304, 124.070, 112.434], std=[68.170, 65.392, 70.418]
)


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, runs=5)
    options.add_argument(
        '--batch-size', type=int, default=64, help="default: 64, CIFAR-100's"
    )
    options.add_argument(
        '--num-images', type=int, default=12800, help='images a run (default: 12800)'
    )
    options.add_argument(
        '--workers',
        type=int,
        nargs='+',
        default=[0, 2],
        help='numbers of worker processes to try (default: 0 2)',
    )
    return options.parse_args()


@DATASETS.register_module()
class RandomImages(BaseDataset):
    """Random images in memory, as mmpretrain's CIFAR100 keeps the real ones.

    Args:
        num_images (int): How many; each has 32 x 32 pixels and one of 100 labels.
        pipeline (list[dict]): Transforms of mmpretrain.
    """

    def __init__(self, num_images: int, pipeline: List[dict]) -> None:
        self.num_images = num_images
        super().__init__(ann_file='', pipeline=pipeline)

    def load_data_list(self) -> List[dict]:
        """Images of the shape (32, 32, 3) and their labels."""
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (self.num_images, 32, 32, 3), dtype=np.uint8)
        return [
            dict(img=image, gt_label=index % 100) for index, image in enumerate(images)
        ]


def build_path(
    args: argparse.Namespace, cached: bool, num_workers: int
) -> Callable[[], None]:
    """A function that runs one epoch."""
    pipeline = [*([] if cached else CROP_FLIP), dict(type='PackInputs')]
    dataset = dict(type='RandomImages', num_images=args.num_images, pipeline=pipeline)
    if cached:
        dataset = dict(type='luminet_mm.CachedDataset', dataset=dataset)
    loader = Runner.build_dataloader(
        dict(
            batch_size=args.batch_size,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
            dataset=dataset,
        ),
        seed=0,
    )
    kind = 'luminet_mm.CropFlipDataPreprocessor' if cached else 'ClsDataPreprocessor'
    preprocessor = MODELS.build(dict(type=kind, **PIXELS)).to(args.device)

    def run() -> None:
        for batch in loader:
            preprocessor(batch, training=True)

    return run


def main() -> None:
    args = parse_args()
    init_default_scope('mmpretrain')
    MMLogger.get_instance('data_path', log_level='WARNING')
    paths = {
        f'{name}, {num_workers} workers': build_path(args, cached, num_workers)
        for name, cached in (('mmpretrain', False), ('luminet_mm', True))
        for num_workers in args.workers
    }
    milliseconds = measure(paths, args.device, args.runs)

    print_heading(__doc__, args.device)
    print(f'Batches of {args.batch_size}, runs of {args.num_images} images:\n')
    rate = {
        name: f'{1000 * args.num_images / statistics.median(times):.0f}'
        for name, times in milliseconds.items()
    }
    print_table(milliseconds, list(paths)[:1], {'images/s': rate})
    write_json(args.json, args.device, dict(milliseconds=milliseconds))


if __name__ == '__main__':
    main()
