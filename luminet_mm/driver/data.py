"""What a user's own data set must tell before anything is trained on it."""

import os.path as osp
from abc import ABCMeta, abstractmethod
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Sequence, Tuple

import cv2
from mmengine.config import Config, ConfigDict
from PIL import Image

from ..config import innermost_dataset

SPLITS = ('train', 'val', 'test')
# Images of a split that are decoded before training; of more, the headers are read
NUM_DECODED = 1000
SHOWN = 5  # names in a message


@dataclass
class Split:
    """One part of a data set.

    Attributes:
        images (list[str]): Paths of its images.
        counts (dict[str, int]): Boxes (or images) of each class.
        crowds (dict[str, int]): Boxes around crowds, which are not trained on.
    """

    images: List[str]
    counts: Dict[str, int]
    crowds: Dict[str, int] = field(default_factory=dict)


class Data(metaclass=ABCMeta):
    """A data set that a user brings: ``train``, ``val`` and, if there is one, ``test``.

    Args:
        root (str): Its folder.

    Attributes:
        classes (tuple[str]): Names, in the order of the labels.
        splits (dict[str, Split]): By 'train', 'val' and maybe 'test'.
        warnings (list[str]): What looks wrong and can be trained on all the same.

    Raises:
        ValueError: If it cannot be trained on; names the file and what would be right.
    """

    option: str  # of the command line
    counted: str  # what `Split.counts` counts
    has_boxes: bool  # whether it is a detector's

    def __init__(self, root: str) -> None:
        if not osp.isdir(root):
            raise ValueError(
                f'{self.option} {root}: no such folder (looked for {osp.abspath(root)})'
            )
        self.root = osp.join(root, '')
        self.warnings: List[str] = []
        self.classes, self.splits = self.read()
        for split, part in list(self.splits.items()):
            if split == 'test' and not any(part.counts.values()):
                del self.splits[split]
                self.warnings.append(f'test has no {self.counted}, so val is tested')
            else:
                self._look_for_missing(split, part.counts)

    @abstractmethod
    def read(self) -> Tuple[Tuple[str, ...], Dict[str, Split]]:
        """The classes and the splits."""

    @abstractmethod
    def put_into(self, cfg: Config) -> None:
        """Have a run train, validate and test on this data; changes its config."""

    def check_images(self) -> None:
        """Look whether the images can be read.

        Raises:
            ValueError: If one cannot; names the first few.
        """
        for split, part in self.splits.items():
            broken = list(_unreadable(part.images, len(part.images) <= NUM_DECODED))
            if broken:
                raise ValueError(
                    f'{self.option} {self.root}: {some(broken)} of {split} cannot be '
                    'read as an image; replace or remove it'
                )

    def split_for(self, mode: str) -> str:
        """The split of a data loader: where there is no test, val is tested."""
        return mode if mode in self.splits else 'val'

    def _look_for_missing(self, split: str, counts: Dict[str, int]) -> None:
        missing = [name for name, count in counts.items() if not count]
        if len(missing) == len(counts):
            raise ValueError(
                f'{self.option} {self.root}: {split} has no {self.counted} at all, so '
                'there is nothing to learn'
            )
        if missing:
            self.warnings.append(f'{split} has no {self.counted} of {some(missing)}')


def datasets(cfg: Config) -> Iterator[Tuple[str, ConfigDict, ConfigDict]]:
    """Mode, data loader and innermost data set of each loader of a run."""
    for mode in SPLITS:
        loader = cfg.get(f'{mode}_dataloader')
        if loader:
            yield mode, loader, innermost_dataset(loader.dataset)


def replace_dataset(loader: ConfigDict, new: dict) -> None:
    """Put a data set in the place of the innermost one, or of several that are joined;
    what wraps it stays."""
    holder = loader
    while 'dataset' in holder.dataset:
        holder = holder.dataset
    holder.dataset = new


def num_shown(cfg: Config, data: Data) -> int:
    """Images of an epoch of a run on a data set, which may be shown several times."""
    num, dataset = len(data.splits['train'].images), cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        num *= dataset.get('times', 1)  # RepeatDataset
        dataset = dataset.dataset
    return num


def some(names: Sequence[str]) -> str:
    """The first few of many names."""
    names = [repr(str(name)) for name in names]
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more


def _unreadable(paths: Sequence[str], whole: bool) -> Iterator[str]:
    for path in paths:
        try:
            with Image.open(path) as image:
                if whole:
                    image.load()
            if whole and cv2.imread(path, cv2.IMREAD_COLOR) is None:
                yield path  # OpenCV, which training reads by, knows fewer formats
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            yield path  # Pillow's plugins raise any of these
