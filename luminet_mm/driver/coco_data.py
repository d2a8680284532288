import math
import os.path as osp
import re
from collections import Counter
from glob import escape, glob
from typing import Any, Dict, List, Tuple

from mmengine.config import Config
from mmengine.fileio import load

from .data import Data, Split, datasets, replace_dataset, some

# How the files of a split are named, by whichever tool wrote them
WORDS = dict(train='train', val='val(id)?', test='test')
PLACES = ('annotations', '.', 'train', 'val', 'valid', 'test')
LAYOUT = 'annotations/train.json and annotations/val.json, and the images'


class CocoData(Data):
    """Images with boxes in COCO's format.

    ``ROOT/annotations/*train*.json`` and ``*val*.json``, or such files in the folders
    of the splits, and maybe one of ``test``. Images are looked up in ``ROOT/images``,
    in ``ROOT``, and in the folder of the split.
    """

    option = '--coco'
    counted = 'boxes'
    has_boxes = True

    def read(self) -> Tuple[Tuple[str, ...], Dict[str, Split]]:
        """See :meth:`Data.read`."""
        self.files = {split: self._find(split) for split in WORDS}
        if self.files['test'] is None:
            del self.files['test']
        self.folders: Dict[str, str] = {}
        self.has_masks = True
        names: Dict[str, List[str]] = {}
        splits = {}
        for split, file in self.files.items():
            names[split], splits[split] = self._read_split(split, file)
            if names[split] != names['train']:
                raise ValueError(
                    f'--coco {self.root}: {file} has the categories {names[split]}, '
                    f'{self.files["train"]} has {names["train"]}; labels are numbered '
                    'in the order of the file, so both must be the same'
                )
        return tuple(names['train']), splits

    def put_into(self, cfg: Config) -> None:
        """See :meth:`Data.put_into`."""
        for mode, loader, inner in datasets(cfg):
            split = self.split_for(mode)
            pipeline = inner.get('pipeline', ())
            wants_masks = any(step.get('with_mask') for step in pipeline)
            if any(step.get('with_seg') for step in pipeline):
                raise ValueError(
                    f'--coco {self.root}: the model learns from a map of the classes '
                    'of all pixels (with_seg), which is not there; name one without'
                )
            if wants_masks and not self.has_masks:
                raise ValueError(
                    f'--coco {self.root}: the model learns masks, and an annotation of '
                    f'{self.files[split]} has no segmentation; name a model of boxes'
                )
            new = dict(
                type='CocoDataset',
                data_root=self.root,
                ann_file=self.files[split],
                data_prefix=dict(img=self.folders[split]),
                metainfo=dict(classes=self.classes),
                pipeline=inner.get('pipeline', []),
            )
            if mode == 'train':
                filters = inner.get('filter_cfg') or dict(filter_empty_gt=True)
                new['filter_cfg'] = filters
            else:
                new['test_mode'] = True
            replace_dataset(loader, new)
            if mode != 'train':
                old = cfg.get(f'{mode}_evaluator') or {}
                old = old[0] if isinstance(old, (list, tuple)) else old
                is_coco = str(old.get('type')).endswith('CocoMetric')
                cfg[f'{mode}_evaluator'] = dict(
                    type='CocoMetric',
                    ann_file=osp.join(self.root, self.files[split]),
                    metric=old.get('metric', 'bbox') if is_coco else 'bbox',
                )

    # ------------------------------------------------------------------ reading
    def _find(self, split: str) -> str:
        """The annotation file of a split, from the root; None where test has none."""
        word = re.compile(rf'(^|[^a-z]){WORDS[split]}([^a-z]|$)')
        found = []
        for place in PLACES:
            for path in sorted(glob(osp.join(escape(self.root), place, '*.json'))):
                path = osp.normpath(osp.relpath(path, self.root))
                # COCO's own name for files of images alone
                alone = osp.basename(path).startswith('image_info')
                if word.search(path.lower()) and not alone:
                    found.append(path)
        instances = [path for path in found if 'instances' in osp.basename(path)]
        found = instances or found
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(
                f'--coco {self.root}: {some(found)} all name {split}; keep the one in '
                'the folder that is meant'
            )
        if split == 'test':
            return None
        raise ValueError(
            f'--coco {self.root}: no annotation file of {split}; expected are {LAYOUT}'
        )

    def _read_split(self, split: str, file: str) -> Tuple[List[str], Split]:
        place = f'--coco {self.root}: {file}'
        try:
            content = load(osp.join(self.root, file))
        except ValueError as error:
            raise ValueError(f'{place} is no JSON: {error}') from None
        parts = ('images', 'annotations', 'categories')
        if split == 'test' and isinstance(content, dict):
            content.setdefault('annotations', [])
        if not isinstance(content, dict) or not all(
            isinstance(content.get(part), list) for part in parts
        ):
            raise ValueError(
                f"{place} is not in COCO's format, which has the lists "
                f'{", ".join(parts)}'
            )
        names = _by_id(place, 'categories', content['categories'], 'name')
        files = _by_id(place, 'images', content['images'], 'file_name')
        for key, values in (('names', names), ('file names', files)):
            twice = [name for name, n in Counter(values.values()).items() if n > 1]
            if twice:
                raise ValueError(f'{place} has the {key} {some(twice)} twice')
        if not names:
            raise ValueError(f'{place} has no categories')
        if not files:
            raise ValueError(f'{place} has no images')
        sizes = _sizes(place, content['images'])
        counts, crowds = dict.fromkeys(names.values(), 0), Counter()
        left_out = 0
        _by_id(place, 'annotations', content['annotations'], 'bbox')
        for box in content['annotations']:
            for key, part, known in (
                ('image_id', 'images', files),
                ('category_id', 'categories', names),
            ):
                if box.get(key) not in known:
                    raise ValueError(
                        f'{place}: annotation {box["id"]} has the {key} '
                        f'{box.get(key)!r}, which none of the {part} has'
                    )
            for key in ('area', 'iscrowd'):
                if key not in box:
                    raise ValueError(
                        f"{place}: annotation {box['id']} has no {key}, which COCO's "
                        'evaluation reads'
                    )
            self.has_masks &= bool(box.get('segmentation'))
            if not _is_kept(place, box, sizes[box['image_id']]):
                left_out += 1
                continue
            name = names[box['category_id']]
            if box['iscrowd']:
                crowds[name] += 1
            else:
                counts[name] += 1
        if left_out:
            self.warnings.append(
                f'{file} has {left_out} boxes less than a pixel wide or high, without '
                'area, outside of the image or marked ignore, which are left out'
            )
        self.folders[split] = self._folder(split, file, list(files.values()))
        folder = osp.join(self.root, self.folders[split])
        paths = [osp.join(folder, name) for name in files.values()]
        missing = [path for path in paths if not osp.isfile(path)]
        if missing:
            raise ValueError(f'{place}: there is no image {some(missing)}')
        return list(names.values()), Split(paths, counts, dict(crowds))

    def _folder(self, split: str, file: str, names: List[str]) -> str:
        """The folder of a split's images, from the root."""
        year = re.search(rf'{WORDS[split]}\w*', osp.basename(file))
        folders = dict.fromkeys(
            ['images', osp.join('images', split), split, '', osp.dirname(file)]
            + ([year[0], osp.join('images', year[0])] if year else [])
            + (['valid'] if split == 'val' else [])
        )
        for folder in folders:
            if osp.isfile(osp.join(self.root, folder, names[0])):
                return osp.join(folder, '') if folder else ''
        tried = ', '.join(osp.join(self.root, folder) for folder in folders)
        raise ValueError(
            f'--coco {self.root}: {file} names {names[0]!r}, not in {tried}'
        )


def _by_id(place: str, part: str, entries: list, key: str) -> dict:
    """What the entries of a list have under a key, by their ids."""
    found = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or 'id' not in entry or key not in entry:
            raise ValueError(f'{place}: {part}[{index}] needs id and {key}')
        if entry['id'] in found:
            raise ValueError(f'{place} has the id {entry["id"]!r} twice in {part}')
        found[entry['id']] = entry[key]
    return found


def _sizes(place: str, images: List[dict]) -> Dict[Any, Tuple[float, float]]:
    """Width and height of each image by its id."""
    sizes = {}
    for image in images:
        size = tuple(image.get(key) for key in ('width', 'height'))
        if not all(isinstance(x, (int, float)) and x > 0 for x in size):
            raise ValueError(
                f'{place}: image {image["id"]!r} has the width and height {size}; they '
                'must be its pixels'
            )
        sizes[image['id']] = size
    return sizes


def _is_kept(place: str, annotation: dict, size: Tuple[float, float]) -> bool:
    """Whether mmdet trains on a box."""
    box = annotation['bbox']
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(isinstance(x, (int, float)) and math.isfinite(x) for x in box)
    ):
        raise ValueError(
            f'{place}: annotation {annotation["id"]} has the bbox {box!r}; it must be '
            'x, y, width, height in pixels'
        )
    if not isinstance(annotation['area'], (int, float)):
        raise ValueError(
            f'{place}: annotation {annotation["id"]} has the area '
            f'{annotation["area"]!r}; it must be a number'
        )
    inside = all(
        min(start + length, end) > max(start, 0)
        for start, length, end in zip(box[:2], box[2:], size)
    )
    big = box[2] >= 1 and box[3] >= 1 and annotation['area'] > 0
    return inside and big and not annotation.get('ignore')
