"""The translated batch against what the teacher's own preprocessor makes."""

import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmengine.model import BaseDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor
from tiny import CAFFE_PIXELS, RGB_PIXELS, detection_batch, image_batch

from luminet_mm.distillers.pixels import PixelTranslator

RGB = dict(bgr_to_rgb=True, **RGB_PIXELS)
CAFFE = dict(bgr_to_rgb=False, **CAFFE_PIXELS)


def assert_translated(student, teacher, batch_of):
    translate = PixelTranslator(student, teacher)
    data = student(batch_of(), training=True)
    images = translate(data['inputs'], data['data_samples'])
    expected = teacher(batch_of())['inputs']
    assert images.shape == expected.shape
    torch.testing.assert_close(images, expected, rtol=1e-5, atol=2e-4)
    return images, data['inputs']


@pytest.mark.parametrize(
    ('student', 'teacher'),
    [
        (dict(**RGB), dict(**CAFFE)),
        (dict(**CAFFE), dict(**RGB)),
        (dict(**RGB), dict()),
        (dict(), dict(**RGB)),
        (dict(**RGB), dict(pad_value=7, **RGB)),
        (dict(pad_size_divisor=1, **RGB), dict(pad_size_divisor=32, **CAFFE)),
        (dict(pad_size_divisor=32, **RGB), dict(pad_size_divisor=1, **CAFFE)),
        (dict(pad_size_divisor=128, **RGB), dict(pad_size_divisor=16, **RGB)),
    ],
)
@pytest.mark.parametrize('sizes', [[(60, 80), (50, 90)], [(64, 96), (64, 96)]])
def test_detection(student, teacher, sizes):
    assert_translated(
        DetDataPreprocessor(**student),
        DetDataPreprocessor(**teacher),
        lambda: detection_batch(sizes=sizes),
    )


@pytest.mark.parametrize(('rgb_S', 'rgb_T'), [(True, False), (False, True)])
def test_classification(rgb_S, rgb_T):
    assert_translated(
        ClsDataPreprocessor(to_rgb=rgb_S, **RGB_PIXELS),
        ClsDataPreprocessor(to_rgb=rgb_T, mean=[127.5], std=[60.0]),
        image_batch,
    )


def test_same_preprocessor_shares_the_batch():
    images, inputs = assert_translated(
        DetDataPreprocessor(pad_size_divisor=32, **RGB),
        DetDataPreprocessor(pad_size_divisor=32, **RGB),
        detection_batch,
    )
    assert images is inputs


def test_resized_batch(message_hub):
    """A student that resizes the whole batch: the teacher sees what it sees."""
    student = DetDataPreprocessor(
        pad_size_divisor=32,
        batch_augments=[
            dict(
                type='mmdet.BatchSyncRandomResize',
                random_size_range=(160, 160),
                interval=1,
            )
        ],
        **RGB,
    )
    translate = PixelTranslator(
        student, DetDataPreprocessor(pad_size_divisor=32, **CAFFE)
    )
    message_hub.update_info('iter', 0)
    student(detection_batch(), training=True)  # decides the size of the next batch
    data = student(detection_batch(), training=True)
    images = translate(data['inputs'], data['data_samples'])
    assert images.shape == data['inputs'].shape == (2, 3, 160, 192)
    pixels = (data['inputs'] * student.std + student.mean).flip(1)
    expected = pixels - torch.tensor(CAFFE['mean']).view(-1, 1, 1)
    for image, want, sample in zip(images, expected, data['data_samples']):
        height, width = sample.img_shape
        torch.testing.assert_close(
            image[:, :height, :width], want[:, :height, :width], rtol=1e-5, atol=2e-4
        )
        assert (image[:, height:] == 0).all()
        assert (image[:, :, width:] == 0).all()


def test_unknown_preprocessor():
    with pytest.raises(TypeError, match='model.teacher.data_preprocessor=BaseData'):
        PixelTranslator(DetDataPreprocessor(), BaseDataPreprocessor())
