"""What is said of a user's data before anything is trained on it."""

import shutil

import pytest
from data_sets import CLASSES, boxes, write_coco, write_images
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from luminet_mm.config import load_cfg
from luminet_mm.driver.coco_data import CocoData
from luminet_mm.driver.data import datasets
from luminet_mm.driver.image_folder import ImageFolder
from luminet_mm.registry import DATASETS


def test_boxes_are_counted_and_crowds_apart(tmp_path):
    content = boxes()
    content['annotations'][0]['iscrowd'] = 1
    data = CocoData(write_coco(tmp_path, train=content))
    assert data.classes == CLASSES
    assert data.splits['train'].counts == dict(apple=3, pear=4)
    assert data.splits['train'].crowds == dict(apple=1)
    assert data.splits['val'].counts == dict(apple=4, pear=4)
    assert data.warnings == []
    data.check_images()


@pytest.mark.parametrize('layout', ['images', 'split', 'year', 'roboflow'])
def test_layouts_of_coco(layout, tmp_path):
    write_coco(tmp_path)
    images, annotations = tmp_path / 'images', tmp_path / 'annotations'
    names = dict(train='train', val='val')
    if layout == 'roboflow':
        names['val'] = 'valid'
    if layout == 'year':
        names = dict(train='train2017', val='val2017')
    for split, name in names.items():
        if layout == 'images':
            continue
        shutil.copytree(images, tmp_path / name)
        file = annotations / f'{split}.json'
        if layout == 'year':
            file.rename(annotations / f'instances_{name}.json')
            (annotations / f'captions_{name}.json').write_text('{}')
        elif layout == 'roboflow':
            file.rename(tmp_path / name / '_annotations.coco.json')
    if layout != 'images':
        shutil.rmtree(images)
    data = CocoData(str(tmp_path))
    data.check_images()
    assert len(data.splits['val'].images) == 4


def changed(part, index, **values):
    """An annotation file with one entry changed; None removes a key."""
    content = boxes()
    entry = content[part][index]
    entry.update(values)
    for key in [key for key, value in values.items() if value is None]:
        del entry[key]
    return content


def every(**values):
    content = boxes()
    for annotation in content['annotations']:
        annotation.update(values)
    return content


WRONG_BOXES = {
    'no annotation file of val': dict(remove='annotations/val.json'),
    'is no JSON': dict(train='{'),
    "is not in COCO's format": dict(train=[]),
    'has the image_id 9, which none of the images has': dict(
        train=changed('annotations', 1, image_id=9)
    ),
    'has the category_id 7': dict(val=changed('annotations', 1, category_id=7)),
    'needs id and bbox': dict(train=changed('annotations', 2, bbox=None)),
    r'has the bbox \[1, 2\]': dict(train=changed('annotations', 2, bbox=[1, 2])),
    'has no area': dict(train=changed('annotations', 0, area=None)),
    'has the id 0 twice in images': dict(train=changed('images', 1, id=0)),
    "the file names '0.png' twice": dict(train=changed('images', 1, file_name='0.png')),
    'the names .apple. twice': dict(train=changed('categories', 1, name='apple')),
    "there is no image '.*9.png'": dict(train=changed('images', 1, file_name='9.png')),
    "names '9.png', not in": dict(train=changed('images', 0, file_name='9.png')),
    r"has the categories \['pear', 'apple'\]": dict(
        val=boxes(classes=('pear', 'apple'))
    ),
    'train has no boxes at all': dict(train=boxes(annotations=[])),
    'val has no boxes at all': dict(val=every(area=0)),
    r'image 1 has the width and height \(None, 48\)': dict(
        train=changed('images', 1, width=None)
    ),
    "annotation 0 has the area 'big'": dict(val=changed('annotations', 0, area='big')),
    'has no images': dict(train=boxes(images=[], annotations=[])),
    'has no categories': dict(train=boxes(categories=[], annotations=[])),
    'all name train': dict(train_2=boxes()),
}


@pytest.mark.parametrize('message', WRONG_BOXES)
def test_wrong_boxes_are_refused(message, tmp_path):
    content = dict(WRONG_BOXES[message])
    remove = content.pop('remove', None)
    write_coco(tmp_path, **content)
    if remove:
        (tmp_path / remove).unlink()
    with pytest.raises(ValueError, match=message):
        CocoData(str(tmp_path))


def test_a_class_without_boxes_is_a_warning(tmp_path):
    content = boxes()
    content['annotations'] = [a for a in content['annotations'] if a['category_id']]
    content['annotations'][0]['bbox'] = [1, 1, 0.5, 5]
    data = CocoData(write_coco(tmp_path, train=content))
    assert data.warnings == [
        'annotations/train.json has 1 boxes less than a pixel wide or high, without '
        'area, outside of the image or marked ignore, which are left out',
        "train has no boxes of 'apple'",
    ]


@pytest.mark.parametrize(
    'wrong',
    [dict(area=0), dict(ignore=1), dict(bbox=[70, 4, 9, 9]), dict(bbox=[0, 0, 0.2, 1])],
)
def test_boxes_are_counted_as_they_are_trained_on(wrong, tmp_path):
    """By mmdet's data set, of what it reads."""
    content = boxes()
    content['annotations'][1].update(wrong)
    data = CocoData(write_coco(tmp_path, train=content))
    assert data.splits['train'].counts == dict(apple=4, pear=3)
    cfg = load_cfg('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 'config')
    data.put_into(cfg)
    init_default_scope('mmdet')
    read = DATASETS.build(cfg.train_dataloader.dataset)
    infos = [read.get_data_info(index) for index in range(len(read))]
    kept = [box['bbox_label'] for info in infos for box in info['instances']]
    assert sorted(kept) == [0] * 4 + [1] * 3


@pytest.mark.parametrize('annotations', [[], None])
def test_a_test_without_boxes_is_not_tested(annotations, tmp_path):
    content = boxes(annotations=annotations)
    if annotations is None:
        del content['annotations']
    data = CocoData(write_coco(tmp_path / 'c', test=content))
    assert data.warnings == ['test has no boxes, so val is tested']
    assert data.split_for('test') == 'val'


def test_cocos_own_folder(tmp_path):
    """Beside instances it has captions and key points, and tests of images alone."""
    root = tmp_path / 'c'
    write_coco(root)
    annotations = root / 'annotations'
    for split in ('train', 'val'):
        shutil.copytree(root / 'images', root / f'{split}2017')
        (annotations / f'{split}.json').rename(
            annotations / f'instances_{split}2017.json'
        )
        for name in ('captions', 'person_keypoints'):
            (annotations / f'{name}_{split}2017.json').write_text('{}')
    shutil.rmtree(root / 'images')
    for name in ('test', 'test-dev'):
        (annotations / f'image_info_{name}2017.json').write_text('{}')
    data = CocoData(str(root))
    assert list(data.splits) == ['train', 'val']
    assert data.classes == ('apple', 'pear')


def test_a_broken_image_is_named(tmp_path):
    root = write_coco(tmp_path)
    whole = (tmp_path / 'images' / '2.png').read_bytes()
    (tmp_path / 'images' / '2.png').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="'.*2.png' of train cannot be read"):
        CocoData(root).check_images()


def test_an_image_that_training_cannot_read(tmp_path):
    """Though others can: a GIF by another name."""
    root = write_coco(tmp_path)
    Image.new('RGB', (64, 48)).save(tmp_path / 'images' / '2.png', format='GIF')
    with pytest.raises(ValueError, match="2.png' of train cannot be read"):
        CocoData(root).check_images()


def test_no_folder():
    with pytest.raises(ValueError, match='--coco nowhere: no such folder'):
        CocoData('nowhere')


def test_images_are_counted(tmp_path):
    data = ImageFolder(write_images(tmp_path, splits=('train', 'valid', 'test')))
    assert data.classes == CLASSES
    assert set(data.splits) == {'train', 'val', 'test'}
    assert data.splits['test'].counts == dict(apple=4, pear=4)
    data.check_images()


@pytest.mark.parametrize(
    'remove, message',
    [
        ('val', 'no folder val/; expected are train/ and val/'),
        ('val/pear', "differ in the classes 'pear'"),
        ('val/pear/*', "val/ has no image of 'pear'"),
        ('*/pear', 'has 1 folders of classes; a classifier needs two'),
    ],
)
def test_wrong_folders_are_refused(remove, message, tmp_path):
    root = write_images(tmp_path)
    for path in tmp_path.glob(remove):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ValueError, match=message):
        ImageFolder(root)


@pytest.mark.parametrize(
    'name',
    [
        'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        'mmdet::yolox/yolox_s_8xb8-300e_coco.py',
        'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        'mmdet::pascal_voc/faster-rcnn_r50_fpn_1x_voc0712.py',
    ],
)
def test_boxes_take_the_place_of_a_configs_data(name, tmp_path):
    cfg = load_cfg(name, 'config')
    data = CocoData(write_coco(tmp_path))
    data.put_into(cfg)
    init_default_scope('mmdet')
    for mode, loader, inner in datasets(cfg):
        assert inner.data_root == data.root and inner.type == 'CocoDataset'
        dataset = DATASETS.build(loader.dataset)
        assert len(dataset) in (4, 12) and dataset.metainfo['classes'] == CLASSES
        assert 'inputs' in dataset[0], mode
    assert cfg.val_evaluator.ann_file.endswith('annotations/val.json')
    assert str(tmp_path) in cfg.test_evaluator.ann_file


def test_maps_of_all_pixels_are_asked_for(tmp_path):
    cfg = load_cfg('mmdet::htc/htc_r50_fpn_1x_coco.py', 'config')
    with pytest.raises(ValueError, match='classes of all pixels .*name one without'):
        CocoData(write_coco(tmp_path)).put_into(cfg)


def test_masks_are_asked_for(tmp_path):
    content = boxes()
    del content['annotations'][0]['segmentation']
    cfg = load_cfg('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 'config')
    with pytest.raises(ValueError, match='the model learns masks'):
        CocoData(write_coco(tmp_path, train=content)).put_into(cfg)


@pytest.mark.parametrize(
    'name',
    [
        'mmpretrain::resnet/resnet18_8xb32_in1k.py',
        'mmpretrain::resnet/resnet18_8xb16_cifar10.py',
        'luminet_mm::cifar100/resnet20.py',
    ],
)
def test_images_take_the_place_of_a_configs_data(name, tmp_path):
    cfg = load_cfg(name, 'config')
    data = ImageFolder(write_images(tmp_path, size=40))
    data.put_into(cfg)
    init_default_scope('mmpretrain')
    for _, loader, _ in datasets(cfg):
        dataset = DATASETS.build(loader.dataset)
        assert len(dataset) == 8
        assert int(dataset[5]['data_samples'].gt_label) == 1
    # whether or not the config's own images are in memory, the model sees RGB
    assert cfg.data_preprocessor.to_rgb
    assert cfg.val_evaluator == dict(type='Accuracy', topk=(1,))


def test_of_several_data_sets_one_is_left(tmp_path):
    inner = dict(type='VOCDataset', pipeline=[dict(type='LoadImageFromFile')])
    dataset = dict(
        type='RepeatDataset', times=3, dataset=dict(type='Concat', datasets=[inner] * 2)
    )
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    CocoData(write_coco(tmp_path)).put_into(cfg)
    assert cfg.train_dataloader.dataset.times == 3
    assert cfg.train_dataloader.dataset.dataset.type == 'CocoDataset'
