import json
import os

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from luminet_mm.datasets import DIGITS, write_digit_scenes
from luminet_mm.datasets.digit_scenes import (
    HEIGHTS,
    place_digits,
    render_digit,
    split_scans,
)

SIZES = dict(num_train=12, num_val=4, num_test=8)
SPLITS = ('train', 'val', 'test')


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    out_dir = tmp_path_factory.mktemp('scenes')
    write_digit_scenes(str(out_dir), seed=0, **SIZES)
    return out_dir


@pytest.fixture(scope='module')
def scans():
    return pytest.importorskip('sklearn.datasets').load_digits().images / 16


def read_all(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob('*.*'))
    }


def annotations(folder, split):
    path = folder / 'annotations' / f'instances_{split}.json'
    return json.loads(path.read_text())


def test_same_seed_same_bytes(scenes, tmp_path):
    write_digit_scenes(str(tmp_path), seed=0, **SIZES)
    assert read_all(tmp_path) == read_all(scenes)


def test_more_scenes_leave_the_first_alone(scenes, tmp_path):
    write_digit_scenes(str(tmp_path), seed=0, **{**SIZES, 'num_train': 14})
    few, many = read_all(scenes), read_all(tmp_path)
    for name in few:
        assert name.endswith('train.json') or many[name] == few[name]


def test_other_seed_other_scenes(scenes, tmp_path):
    write_digit_scenes(str(tmp_path), seed=1, **SIZES)
    one, other = read_all(scenes), read_all(tmp_path)
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)


def test_no_scan_in_two_splits(scenes):
    used = [
        {a['scan_id'] for a in annotations(scenes, s)['annotations']} for s in SPLITS
    ]
    assert all(used)
    assert sum(map(len, used)) == len(set.union(*used))


@pytest.mark.parametrize('seed', [0, 1])
def test_splits_share_out_every_scan(seed):
    splits = split_scans(1797, seed)
    assert list(splits) == list(SPLITS)
    assert sorted(np.concatenate(list(splits.values()))) == list(range(1797))


def test_categories_are_the_scans_own(scenes):
    target = pytest.importorskip('sklearn.datasets').load_digits().target
    for split in SPLITS:
        for annotation in annotations(scenes, split)['annotations']:
            assert annotation['category_id'] == target[annotation['scan_id']]


@pytest.mark.parametrize('split', SPLITS)
def test_coco_loads_it(scenes, split):
    coco = COCO(os.path.join(scenes, 'annotations', f'instances_{split}.json'))
    assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == list(DIGITS)
    assert len(coco.getImgIds()) == SIZES[f'num_{split}']
    assert 0 not in coco.getAnnIds()
    for image in coco.loadImgs(coco.getImgIds()):
        pixels = cv2.imread(str(scenes / split / image['file_name']))
        assert pixels.shape == (image['height'], image['width'], 3)
        for annotation in coco.loadAnns(coco.getAnnIds(image['id'])):
            x, y, w, h = annotation['bbox']
            assert 0 <= x < x + w <= image['width']
            assert 0 <= y < y + h <= image['height']
            assert 0 < annotation['area'] <= w * h
            assert annotation['iscrowd'] == 0


def test_boxes_bound_what_is_painted(scans):
    painted = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        ground = np.full((128, 128, 3), rng.uniform(0, 255), np.float32)
        image = ground.copy()
        changed = np.zeros((128, 128), bool)
        for _, (x, y, w, h), area in place_digits(image, scans, rng):
            # Painting is seen in 8 bits, as the image is saved
            ink = (image.round() != ground.round()).any(axis=2)[y : y + h, x : x + w]
            assert ink[0].any() and ink[-1].any()
            assert ink[:, 0].any() and ink[:, -1].any()
            assert ink.sum() == area
            changed[y : y + h, x : x + w] = True
            painted += 1
        assert (image == ground)[~changed].all()
    assert painted > 60


def test_every_scan_renders_at_every_height(scans):
    rng = np.random.default_rng(0)
    for scan in scans:
        for height in HEIGHTS:
            alpha = render_digit(scan, height, rng)
            assert min(alpha.shape) > 2
            assert max(alpha.shape) < 2 * height


def test_a_scene_too_small_is_refused(tmp_path):
    with pytest.raises(ValueError, match='size=64'):
        write_digit_scenes(str(tmp_path), size=64)
