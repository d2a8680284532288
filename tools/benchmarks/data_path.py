"""Measure how many images a second a data path delivers to the model.

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
import time
from typing import Callable, Dict, List

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from luminet_mm.registry import MODELS

CROP_FLIP = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
]
PIXELS = dict(
    num_classes=100, mean=[129.304, 124.070, 112.434], std=[68.170, 65.392, 70.418]
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--device', default='cpu', help='where batches go, e.g. cuda (default: cpu)'
    )
    parser.add_argument(
        '--batch-size', type=int, default=64, help="default: 64, CIFAR-100's"
    )
    parser.add_argument(
        '--num-images', type=int, default=12800, help='images a run (default: 12800)'
    )
    parser.add_argument(
        '--runs',
        type=int,
        default=5,
        help='measured runs of each path, after one more that is not (default: 5)',
    )
    parser.add_argument(
        '--workers',
        type=int,
        nargs='+',
        default=[0, 2],
        help='numbers of worker processes to try (default: 0 2)',
    )
    return parser.parse_args()


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
) -> Callable[[], float]:
    """A function that runs one epoch and returns the seconds it took."""
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

    def run() -> float:
        start = time.perf_counter()
        for batch in loader:
            preprocessor(batch, training=True)
        if args.device.startswith('cuda'):
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return run


def measure(
    paths: Dict[str, Callable[[], float]], num_runs: int
) -> Dict[str, List[float]]:
    """Seconds of each run of each path, in turn, after a warm-up of all."""
    for run in paths.values():
        run()
    seconds: Dict[str, List[float]] = {name: [] for name in paths}
    for _ in range(num_runs):
        for name, run in paths.items():
            seconds[name].append(run())
    return seconds


def main() -> None:
    args = parse_args()
    init_default_scope('mmpretrain')
    MMLogger.get_instance('data_path', log_level='WARNING')
    paths = {
        f'{name}, {num_workers} workers': build_path(args, cached, num_workers)
        for name, cached in (('mmpretrain', False), ('luminet_mm', True))
        for num_workers in args.workers
    }
    seconds = measure(paths, args.runs)

    print(
        f'batches of {args.batch_size} on {args.device}, {torch.get_num_threads()} '
        f'threads, median of {args.runs} runs of {args.num_images} images'
    )
    print(
        f'{"path":<24}{"images/s":>10}{"slowest":>10}{"fastest":>10}{"ms/batch":>10}'
        f'{"ratio":>8}'
    )
    first = statistics.median(next(iter(seconds.values())))
    for name, times in seconds.items():
        median = statistics.median(times)
        rates = (args.num_images / t for t in (median, max(times), min(times)))
        print(
            f'{name:<24}',
            *(f'{rate:>10.0f}' for rate in rates),
            f'{1000 * median * args.batch_size / args.num_images:>10.2f}',
            f'{first / median:>8.2f}',
            sep='',
        )


if __name__ == '__main__':
    main()
