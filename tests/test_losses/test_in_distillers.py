"""Every loss, by its name in a config, where the distillers call it."""

import pytest
import torch
from tiny import (
    classifier,
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
