"""Cut two annotated aerial photographs of trees into a data set in COCO's format.

They are part of the package deepforest (MIT), from plots of NEON: one is cut into
tiles that overlap, to train on, and below them others, to tune on; the second is for
the test. A tree that lies in a tile by half is one of it.

Usage: pip download --no-deps deepforest==2.1.0 && unzip deepforest-*.whl &&
    python docs/results/detection/trees2coco.py deepforest/data OUT
"""

import json
import sys
from pathlib import Path
from typing import Iterator, List, Tuple
from xml.etree import ElementTree

import cv2

from luminet_mm.files import new_folder

WIDTH, HEIGHT = 320, 240  # of a tile, in pixels
TRAIN = '2019_YELL_2_528000_4978000_image_crop2'
TEST = '2019_YELL_2_541000_4977000_image_crop'
TRAIN_ROWS = 1730  # of the first photograph's 2472


def boxes_of(path: Path) -> List[Tuple[float, ...]]:
    """Corners of all trees."""
    found = ElementTree.parse(path).getroot().iterfind('object/bndbox')
    keys = ('xmin', 'ymin', 'xmax', 'ymax')
    return [tuple(float(box.findtext(key)) for key in keys) for box in found]


def corners(begin: int, end: int, step: int, size: int) -> Iterator[int]:
    """Where tiles begin, the last of which ends at the end."""
    yield from range(begin, end - size, step)
    yield end - size


def cut(
    source: Path, name: str, rows: slice, overlap: int, out: Path, split: str
) -> None:
    """Write the tiles of a photograph's rows, and their trees."""
    photo = cv2.imread(str(source / f'{name}.png'))
    trees = boxes_of(source / f'{name}.xml')
    images, annotations = [], []
    begin, end, _ = rows.indices(len(photo))
    for top in corners(begin, end, HEIGHT // overlap, HEIGHT):
        for left in corners(0, photo.shape[1], WIDTH // overlap, WIDTH):
            file = f'{split}_{top:04}_{left:04}.png'
            image = dict(id=len(images), file_name=file, width=WIDTH, height=HEIGHT)
            images.append(image)
            tile = photo[top : top + HEIGHT, left : left + WIDTH]
            cv2.imwrite(str(out / 'images' / file), tile)
            for x1, y1, x2, y2 in trees:
                x, right = (min(max(v - left, 0), WIDTH) for v in (x1, x2))
                y, bottom = (min(max(v - top, 0), HEIGHT) for v in (y1, y2))
                area = (right - x) * (bottom - y)
                if area >= 0.5 * (x2 - x1) * (y2 - y1):
                    annotations.append(
                        dict(
                            id=len(annotations) + 1,
                            image_id=image['id'],
                            category_id=1,
                            bbox=[x, y, right - x, bottom - y],
                            area=area,
                            iscrowd=0,
                        )
                    )
    content = dict(
        images=images,
        annotations=annotations,
        categories=[dict(id=1, name='tree')],
    )
    path = out / 'annotations' / f'instances_{split}.json'
    path.write_text(json.dumps(content))
    print(f'{split}: {len(images)} tiles, {len(annotations)} trees')


def main() -> None:
    source, out_dir = Path(sys.argv[1]), sys.argv[2]
    with new_folder(out_dir) as unfinished:
        out = Path(unfinished)
        for folder in ('images', 'annotations'):
            (out / folder).mkdir()
        cut(source, TRAIN, slice(TRAIN_ROWS), 2, out, 'train')
        cut(source, TRAIN, slice(TRAIN_ROWS, None), 1, out, 'val')
        cut(source, TEST, slice(None), 1, out, 'test')


if __name__ == '__main__':
    main()
