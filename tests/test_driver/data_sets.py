"""Data sets as a user may have them, right and wrong."""

import json

import cv2
import numpy as np

CLASSES = ('apple', 'pear')


def boxes(num_images=4, classes=CLASSES, **changes):
    """An annotation file: an image has a box of each class."""
    images = [
        dict(id=i, file_name=f'{i}.png', width=64, height=48) for i in range(num_images)
    ]
    annotations = [
        dict(id=n, image_id=n // 2, category_id=n % 2, bbox=[4, 4, 20, 20], area=400)
        for n in range(2 * num_images)
    ]
    for annotation in annotations:
        annotation.update(iscrowd=0, segmentation=[[4, 4, 24, 4, 24, 24]])
    categories = [dict(id=i, name=name) for i, name in enumerate(classes)]
    return dict(
        dict(images=images, annotations=annotations, categories=categories), **changes
    )


def write_coco(root, train=None, val=None, **more):
    """A folder of COCO's form; each annotation file is given, or right."""
    (root / 'annotations').mkdir(parents=True)
    (root / 'images').mkdir()
    for i in range(4):
        image = np.random.RandomState(i).randint(0, 255, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(root / 'images' / f'{i}.png'), image)
    for split, content in dict(train=train, val=val, **more).items():
        content = boxes() if content is None else content
        path = root / 'annotations' / f'{split}.json'
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(root)


def write_images(root, classes=CLASSES, splits=('train', 'val'), size=32, num=4):
    """A folder of images, each with the tint of its class."""
    for split in splits:
        for label, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(num):
                image = np.random.RandomState(i).randint(
                    0, 100, (size, size, 3), dtype=np.uint8
                )
                image[..., label % 3] += 150
                cv2.imwrite(str(folder / f'{i}.png'), image)
    return str(root)
