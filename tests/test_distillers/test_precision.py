"""A distiller that is cast as a whole takes its teachers along."""

import copy

import pytest
import torch
from tiny import (
    CAFFE_PIXELS,
    classifier,
    dense,
    detection_batch,
    distiller,
    image_batch,
    merged,
    save_weights,
)

LOSSES = dict(
    loss_luminet=dict(type='luminet_mm.LuminetLoss'),
    loss_kd=dict(type='luminet_mm.KDLoss'),
)
# what upstream's plain models can on a CPU: mmcv's NMS has float32 only
CASES = [
    (classifier(), torch.bfloat16),
    (classifier(), torch.float64),
    (dense('retinanet'), torch.bfloat16),
    (dense('retinanet'), torch.float64),
]


@pytest.mark.parametrize(('cfg', 'dtype'), CASES)
@pytest.mark.parametrize('cast_first', [True, False])
def test_teacher_follows(cfg, dtype, cast_first, tmp_path):
    pixels = dict(data_preprocessor=dict(CAFFE_PIXELS))
    teacher = merged(cfg, pixels)  # other pixels, so that they must be translated
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth', seed=3)
    one = distiller(cfg, teacher, ckpt, accelerate_teacher=True, distill_losses=LOSSES)
    if cast_first:
        one.to(dtype)
    one.init_weights()
    one.to(dtype)
    (guide,) = one.teachers
    for module in (guide.model, guide.pixels):
        values = [*module.parameters(), *module.buffers()]
        assert {v.dtype for v in values if v.is_floating_point()} == {dtype}
    is_detector = cfg['_scope_'] == 'mmdet'
    batch = detection_batch() if is_detector else image_batch()
    data = one.data_preprocessor(batch, True)
    data['inputs'] = data['inputs'].to(dtype)  # upstream's normalises in float32
    for sample in data['data_samples'] if is_detector else ():
        boxes = sample.gt_instances.bboxes
        sample.gt_instances.bboxes = boxes.to(dtype)
    for _ in range(2):  # the second one with an accelerated teacher
        losses = one.loss(**copy.deepcopy(data))
        for name in LOSSES:
            assert torch.isfinite(losses[name]) and losses[name] > 0, name
    one.parse_losses(losses)[0].backward()
    grads = [p.grad for p in one.student.backbone.parameters()]
    assert all(torch.isfinite(grad).all() for grad in grads)
    assert {grad.dtype for grad in grads} == {dtype}


def test_goes_with_the_student_where_it_goes(tmp_path):
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    one = distiller(classifier(), classifier(), ckpt)
    one.init_weights()
    one.half().float().double()
    (guide,) = one.teachers
    assert next(guide.model.parameters()).dtype == torch.float64
    copied = copy.deepcopy(one).half()  # as EMA's, on its device
    assert next(copied.student.parameters()).dtype == torch.float16
    data = one.data_preprocessor(image_batch(), True)
    data['inputs'] = data['inputs'].double()
    assert torch.isfinite(one.loss(**data)['loss_kd'])
