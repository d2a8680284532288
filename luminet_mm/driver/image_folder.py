import os
import os.path as osp
from typing import Dict, Tuple

from mmengine.config import Config

from .data import Data, Split, datasets, replace_dataset, some

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')  # mmpretrain's
CIFAR_SIZE = 32  # pixels


class ImageFolder(Data):
    """Images in ``ROOT/train/CLASS``, ``ROOT/val/CLASS`` and maybe ``ROOT/test``."""

    option = '--images'
    counted = 'images'
    has_boxes = False

    def read(self) -> Tuple[Tuple[str, ...], Dict[str, Split]]:
        """See :meth:`Data.read`."""
        self.folders = dict(train='train', val=self._val(), test='test')
        if not osp.isdir(osp.join(self.root, 'test')):
            del self.folders['test']
        splits, classes = {}, {}
        for split, folder in self.folders.items():
            if not osp.isdir(osp.join(self.root, folder)):
                raise ValueError(
                    f'--images {self.root}: no folder {folder}/; expected are train/ '
                    'and val/ with a folder for each class'
                )
            splits[split] = self._read_split(osp.join(self.root, folder))
            classes[split] = tuple(splits[split].counts)
            if classes[split] != classes['train']:
                odd = sorted({*classes[split]} ^ {*classes['train']})
                raise ValueError(
                    f'--images {self.root}: train/ and {folder}/ differ in the classes '
                    f'{some(odd)}'
                )
            empty = [name for name, n in splits[split].counts.items() if not n]
            if empty:
                raise ValueError(
                    f'--images {self.root}: {folder}/ has no image of {some(empty)}; '
                    'add some, or remove the folder from all splits'
                )
        if len(classes['train']) < 2:
            raise ValueError(
                f'--images {self.root}: train/ has {len(classes["train"])} folders of '
                'classes; a classifier needs two'
            )
        return classes['train'], splits

    def put_into(self, cfg: Config) -> None:
        """See :meth:`Data.put_into`."""
        in_memory = False
        for mode, loader, inner in datasets(cfg):
            pipeline = inner.get('pipeline', [])
            if all(step['type'] != 'LoadImageFromFile' for step in pipeline):
                pipeline = _read_small(pipeline)
                in_memory = True
            new = dict(
                type='CustomDataset',
                data_root=self.root,
                data_prefix=self.folders[self.split_for(mode)],
                pipeline=pipeline,
            )
            replace_dataset(loader, new)
            if mode != 'train':
                # of five classes all are among the first five
                topk = (1, 5) if len(self.classes) > 5 else (1,)
                cfg[f'{mode}_evaluator'] = dict(type='Accuracy', topk=topk)
        if in_memory:  # CIFAR's are RGB, where a file is read as BGR
            pixels = cfg.get('data_preprocessor') or cfg.model.data_preprocessor
            pixels.to_rgb = not pixels.get('to_rgb', False)

    def _val(self) -> str:
        return 'valid' if osp.isdir(osp.join(self.root, 'valid')) else 'val'

    def _read_split(self, folder: str) -> Split:
        images, counts = [], {}
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if not entry.is_dir():
                continue
            before = len(images)
            for place, _, names in os.walk(entry.path, followlinks=True):
                images += [
                    osp.join(place, name)
                    for name in sorted(names)
                    if name.lower().endswith(EXTENSIONS)
                ]
            counts[entry.name] = len(images) - before
        return Split(images, counts)


def _read_small(pipeline: list) -> list:
    """A pipeline of CIFAR's images, which are in memory and of one size, for files."""
    size = (CIFAR_SIZE, CIFAR_SIZE)
    return [dict(type='LoadImageFromFile'), dict(type='Resize', scale=size), *pipeline]
