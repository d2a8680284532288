"""Detections side by side."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from tiny import (
    CAFFE_PIXELS,
    build,
    detection_batch,
    distiller,
    faster_rcnn,
    save_weights,
)

from luminet_mm.visualization import detect, detect_by_teachers, draw_detections
from luminet_mm.visualization.detections import GAP, HEIGHT, TITLE_HEIGHT

RED, BLUE = (255, 0, 0), (0, 0, 255)


def instances(*boxes, scores=None):
    found = InstanceData(
        bboxes=torch.tensor([box[:4] for box in boxes], dtype=torch.float),
        labels=torch.tensor([box[4] for box in boxes]),
    )
    if scores:
        found.scores = torch.tensor(scores)
    return found


def coloured(picture, colour):
    """Where a colour is, painted with some transparency on grey."""
    distance = np.abs(picture.astype(int) - np.array(colour)).max(axis=2)
    return distance < 80


def test_each_picture_has_its_place():
    images = [np.full((60, 80, 3), 128, np.uint8), np.full((90, 90, 3), 128, np.uint8)]
    box = (20, 10, 60, 40, 0)
    nothing = instances((0, 0, 1, 1, 0), scores=[0.1])
    columns = {
        'truth': [instances(box), instances((9, 9, 45, 45, 1))],
        'model': [instances(box, (1, 1, 9, 9, 1), scores=[0.9, 0.2]), nothing],
    }
    sheet = draw_detections(images, columns, ('a', 'b'), [RED, BLUE])
    assert sheet.dtype == np.uint8
    width = 480 + GAP  # of the widest picture, 80 x 60 enlarged to a height of 360
    assert sheet.shape == (TITLE_HEIGHT + 2 * (HEIGHT + GAP), 2 * width, 3)
    cells = {
        (row, name): sheet[top : top + HEIGHT, left : left + width]
        for row, top in enumerate((TITLE_HEIGHT, TITLE_HEIGHT + HEIGHT + GAP))
        for name, left in (('truth', 0), ('model', width))
    }
    for name in columns:  # six times as large
        y, x = np.nonzero(coloured(cells[0, name], RED))
        assert abs(x.min() - 120) <= 2 and abs(x.max() - 360) <= 2
        assert abs(y.min() - 60) <= 2 and abs(y.max() - 240) <= 2
    # the score of 0.2 is below the threshold, and so is that of 0.1
    assert not coloured(cells[0, 'model'], BLUE).any()
    assert not coloured(cells[1, 'model'], RED).any()
    y, x = np.nonzero(coloured(cells[1, 'truth'], BLUE))
    assert abs(x.max() - 180) <= 2 and abs(y.max() - 180) <= 2
    # letters on white above each column
    for left in (0, width):
        title = sheet[:TITLE_HEIGHT, left : left + width]
        assert (title[0] == 255).all() and title.min() < 100


def test_threshold_and_names_are_optional():
    image = np.full((60, 60, 3), 128, np.uint8)
    found = {'model': [instances((10, 10, 50, 50, 0), scores=[0.2])]}
    empty = draw_detections([image], found)
    shown = draw_detections([image], found, score_thr=0.1)
    assert not np.array_equal(empty, shown)


@pytest.mark.parametrize('rescale', [True, False])
def test_each_teacher_sees_its_own_pixels(rescale, tmp_path):
    """Detections through the distiller are those of the teacher's own pipeline."""
    keep = dict(rcnn=dict(score_thr=0.0, max_per_img=10))
    pixels = dict(bgr_to_rgb=False, **CAFFE_PIXELS)
    cfg = faster_rcnn(data_preprocessor=pixels, test_cfg=keep)
    ckpts = [save_weights(cfg, tmp_path / f'{i}.pth', seed=i) for i in (1, 2)]
    model = distiller(faster_rcnn(test_cfg=keep), [cfg, cfg], ckpts).eval()
    data = model.data_preprocessor(detection_batch(), False)
    for sample in data['data_samples']:
        sample.set_metainfo(dict(scale_factor=(2.0, 2.0)))
    found = detect_by_teachers(model, **data, rescale=rescale)
    assert list(found) == ['teacher 1', 'teacher 2']
    for (title, by_image), ckpt in zip(found.items(), ckpts):
        own = build(cfg).eval()
        own.load_state_dict(torch.load(ckpt)['state_dict'])
        batch = own.data_preprocessor(detection_batch(), False)
        for sample in batch['data_samples']:
            sample.set_metainfo(dict(scale_factor=(2.0, 2.0)))
        with torch.no_grad():
            expected = own.predict(
                batch['inputs'], batch['data_samples'], rescale=rescale
            )
        for got, sample in zip(by_image, expected):
            wanted = sample.pred_instances
            assert len(got) == 10, title
            torch.testing.assert_close(got.bboxes, wanted.bboxes, rtol=0, atol=0.05)
            torch.testing.assert_close(got.scores, wanted.scores, rtol=0, atol=1e-4)
    assert not torch.equal(found['teacher 1'][0].scores, found['teacher 2'][0].scores)
    alone = detect(model.student, **data)
    assert [len(of_image) for of_image in alone] == [10, 10]
    assert not any('pred_instances' in sample for sample in data['data_samples'])


@pytest.mark.parametrize('size', [(1, 1), (1, 1000), (1000, 1), (2, 5000), (60, 80)])
def test_images_of_any_shape(size):
    """A strip's picture is less high, not wider than four others."""
    images = [np.full((*size, 3), 128, np.uint8)]
    nothing = instances((0, 0, 1, 1, 0), scores=[0.1])
    sheet = draw_detections(
        images, {'truth': [instances((0, 0, 1, 1, 0))], 'model': [nothing]}
    )
    assert len(sheet) == TITLE_HEIGHT + HEIGHT + GAP
    assert sheet.shape[1] <= 2 * (4 * HEIGHT + GAP)
    assert (sheet == 128).any()


@pytest.mark.parametrize(
    'meta',
    [
        dict(),
        dict(palette=[RED]),
        dict(classes=('a',), palette=(RED, BLUE)),
        dict(classes=(), palette=[]),
        dict(classes=('a', 'b', 'c'), palette=np.array([RED, BLUE, RED])),
        dict(palette='random'),
    ],
)
def test_any_number_of_names_and_colours(meta):
    images = [np.full((60, 80, 3), 128, np.uint8)]
    found = instances((20, 10, 60, 40, 2), (1, 1, 9, 9, 0), scores=[0.9, 0.8])
    columns = {'model': [found]}
    sheet = draw_detections(images, columns, **meta)
    nothing = {'model': [instances((0, 0, 1, 1, 0), scores=[0.1])]}
    assert not np.array_equal(sheet, draw_detections(images, nothing, **meta))
    if len(meta.get('palette', ())) == 3:
        assert coloured(sheet, RED).any()
