"""Every loss, by its name in a config, where the distillers call it."""

import pytest
import torch
from tiny import (
    classifier,
    dense,
    detection_batch,
    distiller,
    faster_rcnn,
    image_batch,
    save_weights,
)

import luminet_mm.losses
from luminet_mm.losses import BoxLoss, LogitLoss

LOSSES = [
    name
    for name, value in vars(luminet_mm.losses).items()
    if isinstance(value, type)
    and issubclass(value, LogitLoss)
    and value not in (LogitLoss, BoxLoss)  # boxes have tests with their detectors
]


@pytest.mark.parametrize(
    ('make', 'batch', 'head'),
    [
        (classifier, image_batch, 'head.fc.weight'),
        # the rows are RoIs, most of them background: a label like the others
        (faster_rcnn, detection_batch, 'roi_head.bbox_head.fc_cls.weight'),
    ],
)
def test_every_loss_teaches(make, batch, head, tmp_path):
    cfg = make()
    model = distiller(
        cfg,
        cfg,
        save_weights(cfg, tmp_path / 'teacher.pth', seed=1),
        distill_losses={
            f'loss_{name}': dict(type=f'luminet_mm.{name}') for name in LOSSES
        },
    )
    losses = model.loss(**model.data_preprocessor(batch(), True))
    weight = model.student.get_parameter(head)
    for name in LOSSES:
        loss = losses[f'loss_{name}']
        (grad,) = torch.autograd.grad(loss, weight, retain_graph=True)
        assert loss > 0
        assert grad.abs().sum() > 0
        assert grad.isfinite().all()


def few_rois(count):
    """A Faster R-CNN that samples as many RoIs, of an image without objects."""
    sampling = dict(
        rpn_proposal=dict(max_per_img=1, min_bbox_size=0 if count else 10000)
    )
    return faster_rcnn(train_cfg=sampling)


def empty_image():
    batch = detection_batch([(64, 64)])
    (sample,) = batch['data_samples']
    sample.gt_instances = sample.gt_instances[:0]
    return batch


@pytest.mark.parametrize(
    ('make', 'batch', 'num_rows'),
    [
        (classifier, lambda: image_batch(num_images=1), 1),
        (lambda: few_rois(0), empty_image, 0),
        (lambda: few_rois(1), empty_image, 1),
        (lambda: dense('retinanet'), empty_image, None),
    ],
)
def test_no_row_and_one_row(make, batch, num_rows, tmp_path):
    """Nothing to learn is no reason to stop, nor to give a gradient without an end."""
    cfg = make()
    model = distiller(
        cfg,
        cfg,
        save_weights(cfg, tmp_path / 'teacher.pth', seed=1),
        distill_losses={
            f'loss_{name}': dict(type=f'luminet_mm.{name}') for name in LOSSES
        },
    )
    data = model.data_preprocessor(batch(), True)
    rows, _ = model.look(**data)
    assert num_rows in (len(rows.logits), None)
    losses = model.loss(**data)
    total, log = model.parse_losses(losses)
    total.backward()
    for name in LOSSES:
        assert log[f'loss_{name}'].isfinite()
        assert num_rows != 0 or log[f'loss_{name}'] == 0
    for parameter in model.student.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
