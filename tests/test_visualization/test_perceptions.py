"""Matrices of the perception: what stands where in the picture."""

import math

import matplotlib
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tiny import dense, detection_run, detr, distilled, faster_rcnn, save_weights

from luminet_mm.visualization import draw_perceptions, perceptions, trained
from luminet_mm.visualization.perceptions import _class_name, select_rows


@pytest.fixture
def figure(monkeypatch):
    """Draws, and returns the figure instead of its pixels."""
    monkeypatch.setattr(perceptions, 'to_image', lambda figure: figure)
    return draw_perceptions


def naive_perception(logits):
    logits = logits.double().numpy()
    return (logits - logits.mean(axis=0)) / np.sqrt(logits.var(axis=0) + 1e-5)


def logits(num_rows, num_classes, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(num_rows, num_classes, generator=rng) * 3 + 1


def names(ticks):
    return [tick.get_text() for tick in ticks]


def test_matrices_are_ordered_by_label(figure):
    preds_S, preds_T = logits(6, 3), logits(6, 3, seed=1)
    labels = torch.tensor([2, 0, 1, 0, 2, 3])
    order = [1, 3, 2, 0, 4, 5]
    drawn = figure(preds_S, preds_T, labels, ('cat', 'dog', 'cow'), title='step 7')
    teacher, student, difference = (ax.images[0].get_array() for ax in drawn.axes[:3])
    h_S, h_T = naive_perception(preds_S), naive_perception(preds_T)
    np.testing.assert_allclose(teacher, h_T[order], atol=1e-5)
    np.testing.assert_allclose(student, h_S[order], atol=1e-5)
    np.testing.assert_allclose(difference, (h_S - h_T)[order], atol=1e-5)
    limits = [ax.images[0].get_clim() for ax in drawn.axes[:3]]
    assert limits == [(-3, 3)] * 3

    assert names(drawn.axes[0].get_yticklabels()) == ['cat', 'dog', 'cow', 'background']
    assert list(drawn.axes[0].get_yticks()) == [0.5, 2, 3.5, 5]
    for strip in drawn.axes[3:6]:
        assert names(strip.get_xticklabels()) == ['cat', 'dog', 'cow']
    assert drawn.get_suptitle() == 'step 7, 6 rows'
    size = np.abs(h_S - h_T).mean()
    assert drawn.axes[2].get_title() == f'student − teacher (mean size {size:.3f})'


def test_statistics_below_are_what_the_perception_takes_out(figure):
    preds_S, preds_T = logits(6, 3), logits(6, 3, seed=1)
    drawn = figure(preds_S, preds_T)
    for strip, preds in zip(drawn.axes[3:5], (preds_T, preds_S)):
        heights = [bar.get_height() for bar in strip.containers[0]]
        np.testing.assert_allclose(heights, preds.mean(dim=0), rtol=1e-5)
        (_, _, (whiskers,)) = strip.containers[1].lines
        spread = [np.ptp(whisker[:, 1]) / 2 for whisker in whiskers.get_segments()]
        np.testing.assert_allclose(spread, preds.numpy().std(axis=0), rtol=1e-5)
    assert drawn.axes[3].get_ylim() == drawn.axes[4].get_ylim()
    heights = [bar.get_height() for bar in drawn.axes[5].containers[0]]
    difference = naive_perception(preds_S) - naive_perception(preds_T)
    np.testing.assert_allclose(heights, np.abs(difference).mean(axis=0), rtol=1e-4)


def test_background_is_the_column_without_a_name(figure):
    drawn = figure(logits(4, 3), logits(4, 3), None, ('cat', 'dog'))
    assert names(drawn.axes[3].get_xticklabels()) == ['cat', 'dog', 'background']
    assert names(drawn.axes[0].get_yticklabels()) == []  # no labels
    drawn = figure(logits(4, 3), logits(4, 3), torch.arange(4) % 2)
    assert names(drawn.axes[3].get_xticklabels()) == ['0', '1', '2']


def test_many_rows_and_classes_stay_readable(figure):
    labels = torch.arange(2000) % 300
    preds_S, preds_T = logits(2000, 300), logits(2000, 300, seed=1)
    drawn = figure(preds_S, preds_T, labels, max_rows=600)
    matrix = drawn.axes[1].images[0].get_array()
    assert drawn.get_suptitle() == '600 of 2000 rows'
    # statistics are those of all rows
    kept = select_rows(labels, 600)
    np.testing.assert_allclose(matrix, naive_perception(preds_S)[kept], atol=1e-4)
    drawn.canvas.draw()
    for axis in (drawn.axes[0].yaxis, drawn.axes[3].xaxis):
        boxes = [tick.label1.get_window_extent() for tick in axis.get_major_ticks()]
        assert len(boxes) > 30
        one, other = boxes[0], boxes[1]
        assert not one.overlaps(other)


@pytest.mark.parametrize(
    'labels, max_rows, kept',
    [
        ([1, 0, 1, 0], 4, [1, 3, 0, 2]),
        # the same number of each label, spread over what it has
        ([0] * 5 + [1] * 2, 4, [0, 4, 5, 6]),
        # what a rare label leaves goes to the others
        ([0] * 6 + [1], 4, [0, 2, 5, 6]),
        # one of each at least
        ([2, 1, 0, 0], 1, [2, 1, 0]),
    ],
)
def test_selects_rows_evenly(labels, max_rows, kept):
    assert select_rows(torch.tensor(labels), max_rows).tolist() == kept


def test_is_an_image_and_leaves_the_backend_alone():
    before = matplotlib.rcParams['backend']
    matplotlib.use('svg')
    try:
        image = draw_perceptions(logits(4, 3), logits(4, 3).half(), torch.arange(4))
        assert matplotlib.get_backend() == 'svg'
    finally:
        matplotlib.use(before)
    assert image.dtype == np.uint8
    assert image.ndim == 3 and image.shape[2] == 3
    assert (image[:2] == 255).all()  # white margin
    # red and blue cells
    assert ((image[..., 0] > 150) & (image[..., 2] < 60)).any()
    assert ((image[..., 2] > 150) & (image[..., 0] < 80)).any()


@pytest.mark.parametrize('shapes', [((4, 3), (4, 2)), ((0, 3), (0, 3))])
def test_refuses_what_does_not_correspond(shapes):
    with pytest.raises(ValueError, match=r'logits of shape .* must be the same'):
        draw_perceptions(*(torch.zeros(shape) for shape in shapes))


@pytest.mark.parametrize('value', [math.nan, math.inf, 1e38, 0.0])
@pytest.mark.parametrize('shape', [(1, 1), (1, 4), (6, 1), (6, 4)])
def test_draws_whatever_a_model_says(value, shape):
    """A student that diverged, one class, one row; labels that are ignored."""
    preds_S, preds_T = torch.full(shape, value), torch.randn(shape)
    labels = torch.arange(-1, shape[0] - 1)
    picture = draw_perceptions(preds_S, preds_T, labels, ('a',))
    assert picture.dtype == np.uint8 and picture.std() > 0


def test_a_label_below_zero_is_no_class():
    assert _class_name(('a', 'b'), 1) == 'b'
    assert _class_name(('a', 'b'), 2) == 'background'
    assert _class_name(('a', 'b'), -1) == _class_name(None, -1) == '-1'


@pytest.mark.parametrize(
    ('student', 'scale'),
    [(faster_rcnn(), 1.5), (dense('retinanet'), 2), (detr('deformable'), 1.5)],
)
def test_two_students_of_a_teacher_that_sees_more(
    student, scale, tmp_path, monkeypatch
):
    """They are asked at their own size."""
    ckpt = save_weights(student, tmp_path / 'w.pth', seed=1)
    model = distilled(student, dict(student, scale=scale), ckpt)
    cfg = detection_run(model, tmp_path, tmp_path / 'run')
    drawn = []

    def draw(preds_S, preds_T, labels, *args, **kwargs):
        drawn.append((preds_S, preds_T))
        return np.zeros((1, 1, 3))

    monkeypatch.setattr(trained, 'draw_perceptions', draw)
    trained.perceptions_of(Runner.from_cfg(Config(cfg)), ckpt)
    (before, taught), (after, same) = drawn
    assert before.shape == after.shape == taught.shape
    assert torch.equal(taught, same)
    assert not torch.equal(before, after)
