import copy
import random
from typing import Any, List, Union

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement

from ..registry import DATASETS


@DATASETS.register_module()
class CachedDataset:
    """Keeps the images of another data set, ready for a batch, in memory.

    The pipeline runs once for each image, when the data set is built. What
    differs from epoch to epoch must therefore happen later, on the batch: see
    :class:`luminet_mm.models.data_preprocessors.CropFlipDataPreprocessor`. Worker
    processes share the memory. 50,000 images of 32 x 32 pixels take 154 MB.

    Data sets that combine others (``ConcatDataset``, ``RepeatDataset``) go
    around this one, not inside.

    Args:
        dataset (BaseDataset | dict): The data set. Its pipeline must not draw
            random numbers, must end in ``PackInputs`` and must give images of
            one size.

    Raises:
        TypeError: If ``dataset`` is no data set with a pipeline.
        ValueError: If its pipeline draws random numbers, packs no image, or
            gives images of different sizes.
    """

    def __init__(self, dataset: Union[BaseDataset, dict]) -> None:
        if isinstance(dataset, dict) and 'type' in dataset:
            dataset = DATASETS.build(dataset)
        if not isinstance(dataset, BaseDataset):
            raise TypeError(
                f'CachedDataset.dataset is a {type(dataset).__name__}, but only a data '
                'set with a pipeline of its own can be cached, such as CIFAR100, '
                'ImageNet or CustomDataset; put ConcatDataset and the like around '
                'CachedDataset'
            )
        dataset.full_init()
        _check_deterministic(dataset)
        self._metainfo = dataset.metainfo
        self._samples: List[BaseDataElement] = []
        for index in range(len(dataset)):
            image, sample = _pack(dataset, index)
            if index == 0:
                self._images = image.new_empty((len(dataset), *image.shape))
            if image.shape != self._images.shape[1:]:
                raise ValueError(
                    f'CachedDataset.dataset: image {index} has the shape '
                    f'{tuple(image.shape)} (channels, height, width), those before it '
                    f'{tuple(self._images.shape[1:])}; bring them to one size by '
                    "dict(type='Resize', scale=(width, height)) in its pipeline"
                )
            self._images[index] = image
            self._samples.append(sample)
        print_log(
            f'{type(self).__name__}: {len(self)} images of the shape '
            f'{tuple(self._images.shape[1:])} in '
            f'{self._images.numel() * self._images.element_size() / 1e6:.0f} MB of '
            'memory',
            logger='current',
        )

    @property
    def metainfo(self) -> dict:
        """Meta information of the data set, such as ``classes``."""
        return copy.deepcopy(self._metainfo)

    @property
    def CLASSES(self) -> Any:
        """Names of the classes, by mmpretrain's name for them, or None."""
        return self._metainfo.get('classes')

    def full_init(self) -> None:
        """Nothing is left to do: the constructor has read everything."""

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> dict:
        """One image as the pipeline packed it.

        Args:
            index (int): Which image.

        Returns:
            dict: ``inputs``, a tensor of the shape (C, H, W), and
            ``data_samples``, its data sample. Both are the caller's to change.
        """
        # a view would make a worker process send the whole cache with it
        return dict(
            inputs=self._images[index].clone(),
            data_samples=_copy(self._samples[index]),
        )


def _pack(dataset: BaseDataset, index: int) -> tuple:
    """(image, data sample) of one index, as the pipeline packs them."""
    packed = dataset.prepare_data(index)
    if not isinstance(packed, dict) or not torch.is_tensor(packed.get('inputs')):
        raise ValueError(
            f'CachedDataset.dataset.pipeline={_names(dataset)} gives no image tensor '
            f'`inputs` for image {index}: it must load the image, if the data set '
            "has not, and end in dict(type='PackInputs')"
        )
    return packed['inputs'], packed['data_samples']


def _check_deterministic(dataset: BaseDataset) -> None:
    """Refuse a transform that draws: whoever does leaves a generator changed."""
    results = dataset.get_data_info(0)
    for transform in dataset.pipeline.transforms:
        before = _random_state()
        results = transform(results)
        if _random_state() != before:
            raise ValueError(
                f'CachedDataset.dataset.pipeline has {type(transform).__name__}, which '
                'draws random numbers, but a cached image is made only once, so it '
                'would look the same in each epoch. Remove it and let '
                "data_preprocessor=dict(type='luminet_mm.CropFlipDataPreprocessor') "
                'crop and flip the batch, or train on the data set without '
                'CachedDataset'
            )


def _random_state() -> tuple:
    numpy_state = np.random.get_state()
    return (
        random.getstate(),
        numpy_state[1].tobytes(),
        numpy_state[2:],
        torch.get_rng_state().numpy().tobytes(),
    )


def _copy(sample: BaseDataElement) -> BaseDataElement:
    """A shallow copy that can be given other fields, much cheaper than
    ``sample.clone()``, which sets each field anew."""
    copied = copy.copy(sample)
    for name in ('_metainfo_fields', '_data_fields'):
        vars(copied)[name] = set(vars(sample)[name])
    return copied


def _names(dataset: BaseDataset) -> List[str]:
    return [type(transform).__name__ for transform in dataset.pipeline.transforms]
