"""The batch's augmentation against mmpretrain's transforms, one image at a time."""

import numpy as np
import pytest
import torch
from mmcv.transforms import RandomFlip
from mmengine.runner import Runner
from mmpretrain.datasets.transforms import PackInputs, RandomCrop
from mmpretrain.models import ClsDataPreprocessor
from tiny import (
    CAFFE_PIXELS,
    RGB_PIXELS,
    build,
    classification_run,
    classifier,
    distilled,
    distiller,
    image_batch,
    save_weights,
)

from luminet_mm.distillers.pixels import PixelTranslator
from luminet_mm.models import CropFlipDataPreprocessor
from luminet_mm.models.data_preprocessors import crop_flip_data_preprocessor as module

PADDING, HEIGHT, WIDTH = 4, 8, 10
NUM_OFFSETS = 2 * PADDING + 1
OUTCOMES = [
    (top, left, flipped)
    for top in range(NUM_OFFSETS)
    for left in range(NUM_OFFSETS)
    for flipped in (0, 1)
]
# Pixels that tell where they come from: row, column, and no padding.
SOURCE = np.stack(
    [
        *np.meshgrid(np.arange(1, HEIGHT + 1), np.arange(1, WIDTH + 1), indexing='ij'),
        np.full((HEIGHT, WIDTH), 255),
    ],
    axis=-1,
).astype(np.uint8)
DRAWS = 100 * len(OUTCOMES)


def crop_flip(**kwargs):
    return CropFlipDataPreprocessor(padding=PADDING, **kwargs)


def upstream(image, outcome=None):
    """One image by mmpretrain's transforms, shape (3, H, W).

    They draw, or have the outcome (top, left, flipped) given to them.
    """
    height, width = image.shape[:2]
    crop = RandomCrop(crop_size=(height, width), padding=PADDING)
    flip = RandomFlip(prob=0.5, direction='horizontal')
    if outcome is not None:
        top, left, flipped = outcome
        crop.rand_crop_params = lambda img: (top, left, height, width)
        flip = RandomFlip(prob=float(flipped), direction='horizontal')
    results = PackInputs()(flip(crop(dict(img=image))))
    return results['inputs']


@pytest.fixture(scope='module')
def outcome_images():
    """What mmpretrain makes of SOURCE for each outcome, shape (162, 3, H, W)."""
    images = torch.stack([upstream(SOURCE, outcome) for outcome in OUTCOMES])
    assert len(images.flatten(1).unique(dim=0)) == len(OUTCOMES)
    return images


def source_batch(num_images):
    return torch.from_numpy(SOURCE).permute(2, 0, 1).repeat(num_images, 1, 1, 1)


def draw_ours(num_images, batch_size=100):
    return torch.cat(
        [
            crop_flip()(dict(inputs=source_batch(batch_size)), training=True)['inputs']
            for _ in range(num_images // batch_size)
        ]
    )


def draw_upstream(num_images):
    return torch.stack([upstream(SOURCE) for _ in range(num_images)]).float()


def decode(images, outcome_images):
    """Which outcome each image is; an image that is none of them fails."""
    known = {image.numpy().tobytes(): i for i, image in enumerate(outcome_images)}
    return torch.tensor([known[i.numpy().tobytes()] for i in images.to(torch.uint8)])


def assert_uniform(values, num_cells):
    """A chi-square test at four standard deviations, as chi-square with many
    degrees of freedom is nearly normal."""
    counts = torch.bincount(values, minlength=num_cells).double()
    assert len(counts) == num_cells
    expected = len(values) / num_cells
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    freedom = num_cells - 1
    assert abs(chi_square - freedom) < 4 * (2 * freedom) ** 0.5


@pytest.mark.parametrize('draw', [draw_ours, draw_upstream])
def test_each_outcome_is_equally_likely(draw, outcome_images):
    """Both draw each of 81 crops, flipped or not, and nothing else."""
    torch.manual_seed(0)
    np.random.seed(0)
    drawn = decode(draw(DRAWS), outcome_images)
    assert_uniform(drawn, len(OUTCOMES))


def test_images_of_a_batch_are_independent(outcome_images):
    torch.manual_seed(1)
    drawn = torch.tensor(OUTCOMES)[decode(draw_ours(DRAWS), outcome_images)]
    top, left, flipped = drawn.T
    for values in (top, left):
        for shift in (1, 2):
            pairs = NUM_OFFSETS * values[shift:] + values[:-shift]
            # every other one, since neighbouring pairs share an image
            assert_uniform(pairs[:: shift + 1], NUM_OFFSETS**2)
    assert_uniform((2 * flipped[1:] + flipped[:-1])[::2], 4)
    # one batch after the other: image i of one and of the next
    assert_uniform((NUM_OFFSETS * top[100:] + top[:-100])[::2], NUM_OFFSETS**2)


def test_processes_draw_apart(outcome_images, monkeypatch):
    """Processes start from one seed, yet must not crop alike."""
    monkeypatch.setattr(module, 'get_world_size', lambda: 2)
    drawn = []
    for rank in range(2):
        torch.manual_seed(0)
        monkeypatch.setattr(module, 'get_rank', lambda rank=rank: rank)
        images = draw_ours(DRAWS)
        drawn.append(torch.tensor(OUTCOMES)[decode(images, outcome_images)])
    (top_0, _, flipped_0), (top_1, _, flipped_1) = drawn[0].T, drawn[1].T
    assert_uniform(NUM_OFFSETS * top_0 + top_1, NUM_OFFSETS**2)
    assert_uniform(2 * flipped_0 + flipped_1, 4)


@pytest.mark.parametrize('to_rgb', [True, False])
@pytest.mark.parametrize('divisor', [1, 16])
def test_pixels_are_those_of_upstream(to_rgb, divisor, outcome_images):
    """The same crop and flip, normalised, is the same to the last bit."""
    torch.manual_seed(0)
    drawn = decode(draw_ours(200), outcome_images)
    image = image_batch(1)['inputs'][0][:, :HEIGHT, :WIDTH]
    pixels = dict(to_rgb=to_rgb, pad_size_divisor=divisor, **RGB_PIXELS)

    torch.manual_seed(0)
    ours = torch.cat(
        [
            crop_flip(**pixels)(dict(inputs=image.repeat(100, 1, 1, 1)), True)['inputs']
            for _ in range(2)
        ]
    )
    image = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    expected = [upstream(image, OUTCOMES[index]) for index in drawn.tolist()]
    upstreams = ClsDataPreprocessor(**pixels)
    expected = upstreams(dict(inputs=torch.stack(expected)), True)['inputs']
    assert torch.equal(ours, expected)


def test_leaves_test_images_and_the_seed_alone():
    batch = image_batch()
    state = torch.get_rng_state()
    ours = crop_flip(**RGB_PIXELS)(batch)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(
        ours['inputs'], ClsDataPreprocessor(**RGB_PIXELS)(batch)['inputs']
    )


def test_does_not_change_the_batch_that_it_is_given():
    batch = dict(inputs=source_batch(4))
    crop_flip()(batch, training=True)
    assert torch.equal(batch['inputs'], source_batch(4))


def test_same_seed_same_batch_from_either_collate_function():
    stacked, listed = image_batch(), image_batch()
    stacked['inputs'] = torch.stack(stacked['inputs'])
    drawn = []
    for batch in (stacked, stacked, listed):
        torch.manual_seed(3)
        drawn.append(crop_flip(**RGB_PIXELS)(batch, training=True)['inputs'])
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(
        drawn[0], crop_flip(**RGB_PIXELS)(stacked, training=True)['inputs']
    )


def test_without_padding_or_flips_nothing_is_drawn_but_the_image():
    batch = image_batch()
    plain = CropFlipDataPreprocessor(padding=0, flip_prob=0, **RGB_PIXELS)
    assert torch.equal(
        plain(batch, training=True)['inputs'],
        ClsDataPreprocessor(**RGB_PIXELS)(batch, True)['inputs'],
    )
    always = CropFlipDataPreprocessor(padding=0, flip_prob=1)
    images = always(batch, training=True)['inputs']
    assert torch.equal(images, torch.stack(batch['inputs']).flip(3).float())


def test_labels_and_batch_augments_are_upstreams():
    mixup = dict(augments=[dict(type='Mixup', alpha=0.8)])
    preprocessor = crop_flip(num_classes=5, batch_augments=mixup)
    data = preprocessor(image_batch(), training=True)
    assert [s.gt_label.item() for s in data['data_samples']] == [0, 1, 2, 3, 4, 0, 1, 2]
    assert any(0 < s.gt_score.max() < 1 for s in data['data_samples'])


def test_teacher_gets_the_students_crops():
    """Student and teacher may both carry it; the teacher draws nothing anew."""
    student = crop_flip(to_rgb=True, **RGB_PIXELS)
    teacher = crop_flip(**CAFFE_PIXELS)
    torch.manual_seed(0)
    data = student(image_batch(), training=True)
    translated = PixelTranslator(student, teacher)(**data)
    torch.manual_seed(0)
    expected = teacher(image_batch(), training=True)['inputs']
    torch.testing.assert_close(translated, expected, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize('kind', ['ClsDataPreprocessor', 'CropFlipDataPreprocessor'])
def test_distils(kind, tmp_path):
    scope = 'luminet_mm.' if kind.startswith('Crop') else ''
    teacher = classifier(data_preprocessor=dict(type=scope + kind, **CAFFE_PIXELS))
    student = classifier(
        data_preprocessor=dict(type='luminet_mm.CropFlipDataPreprocessor')
    )
    model = distiller(student, teacher, save_weights(teacher, tmp_path / 'teacher.pth'))
    data = model.data_preprocessor(image_batch(), True)
    state = torch.get_rng_state()
    (built,) = model.build_teachers()
    inputs = built.prepare_inputs(data['inputs'], data['data_samples'])
    assert torch.equal(torch.get_rng_state(), state)
    assert inputs.shape == data['inputs'].shape
    assert model.loss(**data)['loss_luminet'] > 0


def test_runner_takes_it_as_the_top_level_preprocessor(tmp_path):
    student, teacher = classifier(), classifier()
    del student['data_preprocessor']
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth')
    cfg = classification_run(
        distilled(student, teacher, ckpt), tmp_path, tmp_path / 'run', max_epochs=1
    )
    cfg['data_preprocessor'] = dict(
        type='luminet_mm.CropFlipDataPreprocessor', num_classes=5, **RGB_PIXELS
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert type(runner.model.data_preprocessor) is CropFlipDataPreprocessor
    assert runner.message_hub.get_scalar('train/loss').current() > 0


def test_is_upstreams_preprocessor_for_a_plain_classifier():
    model = build(
        classifier(data_preprocessor=dict(type='luminet_mm.CropFlipDataPreprocessor'))
    )
    assert isinstance(model.data_preprocessor, ClsDataPreprocessor)
    assert model.data_preprocessor.padding == 4
    assert model.data_preprocessor.flip_prob == 0.5
    assert 'data_preprocessor' not in ' '.join(model.state_dict())


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(padding=-1), r'data_preprocessor\.padding=-1 must be an integer'),
        (dict(padding=0.5), r'data_preprocessor\.padding=0\.5 must be'),
        (dict(flip_prob=1.5), r'data_preprocessor\.flip_prob=1\.5 must be a finite'),
    ],
)
def test_wrong_argument(kwargs, message):
    with pytest.raises((TypeError, ValueError), match=message):
        CropFlipDataPreprocessor(**kwargs)


def test_wrong_image_sizes():
    inputs = [torch.zeros(3, 8, 8).byte(), torch.zeros(3, 8, 9).byte()]
    with pytest.raises(ValueError, match=r'shapes .*\[\(3, 8, 8\), \(3, 8, 9\)\]'):
        crop_flip()(dict(inputs=inputs), training=True)
