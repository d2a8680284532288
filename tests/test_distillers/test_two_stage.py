"""Two-stage detectors: the same RoIs on both sides, each model run once."""

import pytest
import torch
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.structures import InstanceData
from tiny import (
    CAFFE_PIXELS,
    RGB_PIXELS,
    build,
    cascade_rcnn,
    detection_batch,
    distiller,
    faster_rcnn,
    mask_rcnn,
    merged,
    save_weights,
)

from luminet_mm.distillers.sources.two_stage import RoIRows, TwoStageSource


@MMDET_MODELS.register_module()
class PixelResNet(ResNet):
    """A backbone that undoes its preprocessor exactly: pixels are integers, so
    rounding leaves no trace of the normalisation that they came through."""

    def __init__(self, mean, std, flip, **kwargs):
        super().__init__(**kwargs)
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), False)
        self.flip = flip

    def forward(self, x):
        x = torch.round(x * self.std + self.mean)
        return super().forward((x.flip(1) if self.flip else x) / 255)


def step(model, batch):
    """Losses of one training step; no running statistics on either side."""
    model.train()
    model.student.eval()
    return model.loss(**model.data_preprocessor(batch, True))


@pytest.mark.parametrize('make', [faster_rcnn, mask_rcnn, cascade_rcnn])
def test_own_weights_give_exactly_zero(make, tmp_path):
    cfg = make()
    ckpt = save_weights(cfg, tmp_path / 'teacher.pth')
    model = distiller(cfg, cfg, ckpt)
    model.load_state_dict(torch.load(ckpt)['state_dict'])
    model.build_teachers()
    losses = step(model, detection_batch(masks=make is mask_rcnn))
    assert losses['loss_luminet'] == 0
    assert losses['loss_kd'] == 0

    with torch.no_grad():  # and it is no zero by construction
        model.student.backbone.conv1.weight.mul_(1.5)
    losses = step(model, detection_batch(masks=make is mask_rcnn))
    assert losses['loss_luminet'] > 1e-4
    assert losses['loss_kd'] > 1e-7


def test_own_weights_give_exactly_zero_with_other_pixels(tmp_path):
    """A caffe-style teacher beside a torchvision-style student."""
    student = faster_rcnn(backbone=dict(type='PixelResNet', flip=False, **RGB_PIXELS))
    teacher = faster_rcnn(
        data_preprocessor=dict(bgr_to_rgb=False, **CAFFE_PIXELS),
        backbone=dict(type='PixelResNet', flip=True, **CAFFE_PIXELS),
    )
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth')
    model = distiller(student, teacher, ckpt)
    model.load_state_dict(torch.load(ckpt)['state_dict'])
    # no padding, which the two do not undo alike
    losses = step(model, detection_batch(sizes=[(96, 128), (96, 128)]))
    assert losses['loss_luminet'] == 0
    assert losses['loss_kd'] == 0

    wrong = merged(teacher, dict(backbone=dict(flip=False)))
    other = distiller(student, wrong, ckpt)
    other.load_state_dict(torch.load(ckpt)['state_dict'])
    assert step(other, detection_batch(sizes=[(96, 128)] * 2))['loss_luminet'] > 1e-4


def test_each_part_runs_once(tmp_path):
    cfg = faster_rcnn()
    model = distiller(cfg, cfg, save_weights(cfg, tmp_path / 'teacher.pth', seed=1))
    teacher = model.build_teachers()[0].model
    calls = {}

    def count(name):
        def hook(module, args, output):
            calls[name] = calls.get(name, 0) + 1

        return hook

    for role, detector in (('student', model.student), ('teacher', teacher)):
        for part in ('backbone', 'neck', 'rpn_head', 'roi_head.bbox_head'):
            name = f'{role}.{part}'
            detector.get_submodule(part).register_forward_hook(count(name))
    step(model, detection_batch())
    assert calls == {
        'student.backbone': 1,
        'student.neck': 1,
        'student.rpn_head': 1,
        'student.roi_head.bbox_head': 1,
        'teacher.backbone': 1,
        'teacher.neck': 1,
        'teacher.roi_head.bbox_head': 1,
    }


def test_student_losses_are_upstreams(tmp_path):
    """The distiller adds losses; it changes none, and leaves no hook behind."""
    cfg = faster_rcnn()
    model = distiller(cfg, cfg, save_weights(cfg, tmp_path / 'teacher.pth', seed=1))
    model.build_teachers()
    torch.manual_seed(3)
    losses = step(model, detection_batch())
    torch.manual_seed(3)
    alone = model.student(
        **model.data_preprocessor(detection_batch(), True), mode='loss'
    )
    assert set(losses) - set(alone) == {'loss_luminet', 'loss_kd'}
    for name, value in alone.items():
        torch.testing.assert_close(losses[name], value, rtol=0, atol=0)
    hooks = [
        hook
        for module in model.modules()
        for hook in (*module._forward_hooks, *module._forward_pre_hooks)
    ]
    assert not hooks


def test_rows_labels_and_gradient(tmp_path):
    cfg = faster_rcnn()
    model = distiller(cfg, cfg, save_weights(cfg, tmp_path / 'teacher.pth', seed=1))
    data = model.data_preprocessor(detection_batch(), True)
    with model.source.observe(model.student, data['data_samples']) as rows:
        model.student(**data, mode='loss')
    num_rois = len(rows.rois)
    assert rows.logits.shape == (num_rois, 3 + 1)
    assert rows.labels.shape == (num_rois,)
    assert 0 < (rows.labels < 3).sum() < num_rois  # background is the last class

    teacher = model.build_teachers()[0].model
    expected = teacher.roi_head._bbox_forward(
        teacher.extract_feat(data['inputs']), rows.rois
    )['cls_score']
    assert torch.equal(
        model._teach(data['inputs'], data['data_samples'], rows).logits, expected
    )

    losses = step(model, detection_batch())
    (losses['loss_luminet'] + losses['loss_kd']).backward()
    head = model.student.roi_head.bbox_head
    assert head.fc_cls.weight.grad.abs().sum() > 0
    assert model.student.backbone.conv1.weight.grad.abs().sum() > 0
    assert head.fc_reg.weight.grad is None  # logits alone are distilled
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_no_roi_gives_no_logits(tmp_path):
    cfg = faster_rcnn()
    model = distiller(cfg, cfg, save_weights(cfg, tmp_path / 'teacher.pth'))
    rows = RoIRows(logits=torch.zeros(0, 4), rois=torch.zeros(0, 5))
    taught = model.source.teach(
        model.build_teachers()[0].model, torch.zeros(1, 3, 64, 64), rows
    )
    assert taught.logits.shape == (0, 4)


@pytest.mark.parametrize('stage', [0, 2])
def test_cascade_teacher_by_stage(stage, tmp_path):
    student, teacher = faster_rcnn(), cascade_rcnn()
    model = distiller(
        student,
        teacher,
        save_weights(teacher, tmp_path / 'teacher.pth'),
        source=dict(type='TwoStageSource', teacher_stage=stage),
    )
    heads = model.build_teachers()[0].model.roi_head.bbox_head
    ran = []
    for index, head in enumerate(heads):
        head.register_forward_hook(lambda *_, index=index: ran.append(index))
    assert step(model, detection_batch())['loss_luminet'] > 0
    assert ran == [stage]


@pytest.mark.parametrize('stage', [0, 1, 2])
def test_cascade_student_by_stage(stage, tmp_path):
    cfg = cascade_rcnn()
    model = distiller(
        cfg,
        cfg,
        save_weights(cfg, tmp_path / 'teacher.pth', seed=1),
        source=dict(type='TwoStageSource', student_stage=stage, teacher_stage=stage),
    )
    losses = step(model, detection_batch())
    losses['loss_luminet'].backward()
    heads = model.student.roi_head.bbox_head
    assert [head.fc_cls.weight.grad is not None for head in heads] == [
        index == stage for index in range(3)
    ]


def test_says_what_is_distilled(tmp_path):
    cfg, teacher = mask_rcnn(), faster_rcnn()
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth')
    model = distiller(cfg, teacher, ckpt, warmup=5, warmup_by_epoch=False)
    model.build_teachers()
    table = model._summary()
    for line in (
        'student       MaskRCNN (mmdet::_base_/models/mask-rcnn_r50_fpn.py)',
        'teacher       FasterRCNN (mmdet::_base_/models/faster-rcnn_r50_fpn.py)',
        f'from {ckpt}',
        "distilled     class logits of the student's sampled RoIs (TwoStageSource)",
        "loss_kd       KDLoss(tau=4.0, loss_weight=1.0, reduction='mean')",
        'warm-up       linear over 5 iterations',
    ):
        assert line in table


def test_mask_student_of_a_faster_teacher(tmp_path):
    teacher = faster_rcnn()
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth')
    losses = step(distiller(mask_rcnn(), teacher, ckpt), detection_batch(masks=True))
    assert {'loss_mask', 'loss_luminet'} <= set(losses)


def test_teacher_of_another_box_head(tmp_path):
    """Class-agnostic boxes on one side change no logit."""
    agnostic = dict(roi_head=dict(bbox_head=dict(reg_class_agnostic=True)))
    for student, teacher in (
        (faster_rcnn(), faster_rcnn(**agnostic)),
        (faster_rcnn(**agnostic), faster_rcnn()),
        (faster_rcnn(**agnostic), cascade_rcnn()),
    ):
        ckpt = save_weights(teacher, tmp_path / 'teacher.pth', seed=1)
        losses = step(distiller(student, teacher, ckpt), detection_batch())
        assert losses['loss_luminet'] > 0
        losses['loss_luminet'].backward()


@pytest.mark.parametrize(
    'teacher',
    [
        dict(  # no stride 4
            neck=dict(in_channels=[8, 16, 32, 64], start_level=1, num_outs=4),
            rpn_head=dict(anchor_generator=dict(strides=[8, 16, 32, 64])),
            roi_head=dict(bbox_roi_extractor=dict(featmap_strides=[8, 16, 32])),
        ),
        dict(  # all RoIs from one level
            backbone=dict(out_indices=(2,)),
            neck=dict(in_channels=[32], num_outs=1),
            rpn_head=dict(anchor_generator=dict(strides=[16])),
            roi_head=dict(bbox_roi_extractor=dict(featmap_strides=[16])),
        ),
    ],
)
def test_teacher_of_other_levels(teacher, tmp_path):
    """A RoI is a box in pixels: the teacher's logits are those of its own pipeline,
    whatever levels it takes them from."""
    teacher = faster_rcnn(**teacher)
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth', seed=1)
    model = distiller(faster_rcnn(), teacher, ckpt)
    model.build_teachers()
    data = model.data_preprocessor(detection_batch(), True)
    with model.source.observe(model.student, data['data_samples']) as rows:
        model.student(**data, mode='loss')
    preds_T = model._teach(data['inputs'], data['data_samples'], rows).logits

    alone = build(teacher).eval()
    alone.load_state_dict(torch.load(ckpt)['state_dict'])
    own = alone.data_preprocessor(detection_batch(), True)
    seen = []
    alone.roi_head.bbox_head.register_forward_hook(lambda *io: seen.append(io[2][0]))
    # its own way to score given boxes: as proposals of its second stage
    proposals = [
        InstanceData(bboxes=rows.rois[rows.rois[:, 0] == image, 1:])
        for image in range(2)
    ]
    alone.roi_head.predict_bbox(
        alone.extract_feat(own['inputs']),
        [sample.metainfo for sample in own['data_samples']],
        proposals,
        rcnn_test_cfg=alone.test_cfg.rcnn,
    )
    torch.testing.assert_close(preds_T, seen[0])
    assert step(model, detection_batch())['loss_luminet'] > 0


def whole_distiller(student, teacher, ckpt, **kwargs):
    """All that a two-stage detector predicts: classes, boxes and objectness."""
    losses = dict(
        loss_luminet=dict(type='luminet_mm.LuminetLoss'),
        loss_box=dict(type='luminet_mm.BoxLoss'),
        loss_rpn=dict(type='luminet_mm.KDLoss', tau=1.0, compares='objectness'),
    )
    return distiller(student, teacher, ckpt, distill_losses=losses, **kwargs)


@pytest.mark.parametrize('make', [faster_rcnn, mask_rcnn, cascade_rcnn])
def test_own_weights_give_exactly_zero_in_all_predictions(make, tmp_path):
    cfg = make()
    ckpt = save_weights(cfg, tmp_path / 'teacher.pth')
    model = whole_distiller(cfg, cfg, ckpt)
    model.load_state_dict(torch.load(ckpt)['state_dict'])
    model.build_teachers()
    batch = detection_batch(masks=make is mask_rcnn)
    losses = step(model, batch)
    assert losses['loss_box'] == losses['loss_rpn'] == 0
    heads = model.student.roi_head.bbox_head
    head = heads[0] if make is cascade_rcnn else heads
    biases = dict(
        loss_box=head.fc_reg.bias, loss_rpn=model.student.rpn_head.rpn_cls.bias
    )
    with torch.no_grad():
        for bias in biases.values():
            bias.add_(0.5)
    losses = step(model, batch)
    for name, bias in biases.items():
        (grad,) = torch.autograd.grad(losses[name], bias, retain_graph=True)
        assert losses[name] > 0
        assert grad.abs().sum() > 0


@pytest.mark.parametrize('stage', [0, 2])
def test_boxes_are_those_that_each_head_decodes(stage, tmp_path):
    """One box for each class, or for all, in stages of other target_stds."""
    student, teacher = faster_rcnn(), cascade_rcnn()
    source = dict(type='TwoStageSource', teacher_stage=stage)
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth', seed=1)
    model = whole_distiller(student, teacher, ckpt, source=source)
    model.init_weights()
    data = model.data_preprocessor(detection_batch(), True)
    head_S = model.student.roi_head.bbox_head
    head_T = model.teachers[0].model.roi_head.bbox_head[stage]
    seen = []
    for head in (head_S, head_T):
        with torch.no_grad():  # regressions as large as those of trained heads
            head.fc_reg.weight.mul_(100)
        head.register_forward_hook(lambda *io: seen.append(io[2][1]))
    with model.source.observe(model.student, data['data_samples']) as rows:
        model.student(**data, mode='loss')
    taught = model._teach(data['inputs'], data['data_samples'], rows)
    objects = rows.labels < 3
    assert 0 < objects.sum() < len(objects)
    boxes = rows.rois[objects, 1:]
    own = seen[0].view(-1, 3, 4)[objects, rows.labels[objects]]
    for head, of_class, deltas in (
        (head_S, own, rows.deltas),
        (head_T, seen[1][objects], taught.deltas),
    ):
        assert not deltas[~objects].any()
        torch.testing.assert_close(
            head_S.bbox_coder.decode(boxes, deltas[objects]),
            head.bbox_coder.decode(boxes, of_class),
        )


def observed(model):
    """The student's rows, and the batch."""
    model.init_weights()
    data = model.data_preprocessor(detection_batch(), True)
    with model.source.observe(model.student, data['data_samples']) as rows:
        model.student(**data, mode='loss')
    return rows, data


def test_all_predictions_of_several_teachers_are_averaged(tmp_path):
    cfg = faster_rcnn()
    ckpts = [save_weights(cfg, tmp_path / f'{i}.pth', seed=i) for i in (1, 2)]
    model = whole_distiller(cfg, [cfg, cfg], ckpts)
    rows, data = observed(model)
    first, second = (
        model.source.teach(teacher.model, data['inputs'], rows)
        for teacher in model.teachers
    )
    taught = model._teach(data['inputs'], data['data_samples'], rows)
    for name in ('logits', 'deltas', 'objectness'):
        one, two = getattr(first, name), getattr(second, name)
        assert (one != two).any()
        torch.testing.assert_close(getattr(taught, name), (one + two) / 2)


def test_objectness_is_each_rpns_own(tmp_path):
    """At anchors of which the teacher's likeliest objects are half; the divergence is
    that of two sigmoids."""
    cfg = faster_rcnn()
    model = whole_distiller(
        cfg,
        cfg,
        save_weights(cfg, tmp_path / 'teacher.pth', seed=1),
        source=dict(type='TwoStageSource', num_anchors=40),
    )
    rows, data = observed(model)
    taught = model._teach(data['inputs'], data['data_samples'], rows)
    assert rows.chosen.sum(dim=1).tolist() == [40, 40]

    def objectness(detector):
        maps, _ = detector.rpn_head(detector.extract_feat(data['inputs']))
        return torch.cat([m.permute(0, 2, 3, 1).flatten(1) for m in maps], dim=1)

    teacher = model.teachers[0].model
    z_S, z_T = objectness(model.student), objectness(teacher)
    assert rows.chosen.gather(1, z_T.topk(20, dim=1).indices).all()
    for z, compared in ((z_S, rows.objectness), (z_T, taught.objectness)):
        # chosen level by level, so image after image within a level
        assert sorted(compared[:, 0].tolist()) == sorted(z[rows.chosen].tolist())
        assert not compared[:, 1].any()
    p, q = z_T[rows.chosen].sigmoid(), z_S[rows.chosen].sigmoid()
    naive = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    loss = model._distill(rows, taught)['loss_rpn']
    torch.testing.assert_close(loss, naive, rtol=1e-4, atol=1e-8)


def test_objectness_needs_the_same_anchors(tmp_path):
    teacher = faster_rcnn(rpn_head=dict(anchor_generator=dict(scales=[4])))
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth')
    distiller(faster_rcnn(), teacher, ckpt).init_weights()
    message = (
        'priors at each location: .*model.student.rpn_head.*model.teacher.rpn_head'
    )
    with pytest.raises(ValueError, match=message):
        whole_distiller(faster_rcnn(), teacher, ckpt).init_weights()
    alone = faster_rcnn(rpn_head=None)  # a Fast R-CNN, of given boxes
    with pytest.raises(ValueError, match='model.teacher.rpn_head is a NoneType'):
        whole_distiller(
            faster_rcnn(), alone, save_weights(alone, tmp_path / 'alone.pth')
        ).init_weights()
    with pytest.raises(
        ValueError, match='num_anchors=1 must be an integer of at least 2'
    ):
        TwoStageSource(num_anchors=1)


def test_objectness_has_no_labels(tmp_path):
    cfg = faster_rcnn()
    model = distiller(
        cfg,
        cfg,
        save_weights(cfg, tmp_path / 'teacher.pth'),
        distill_losses=dict(
            loss_rpn=dict(type='luminet_mm.DKDLoss', compares='objectness')
        ),
    )
    with pytest.raises(
        ValueError, match='gt_labels is None: .* and the anchors of an RPN'
    ):
        step(model, detection_batch())


def test_boxes_of_another_encoding_are_refused(tmp_path):
    coder = dict(_delete_=True, type='LegacyDeltaXYWHBBoxCoder', target_stds=[0.1] * 4)
    teacher = faster_rcnn(roi_head=dict(bbox_head=dict(bbox_coder=coder)))
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth')
    distiller(faster_rcnn(), teacher, ckpt).init_weights()
    message = (
        'model.teacher.roi_head.bbox_head.bbox_coder is a LegacyDeltaXYWHBBoxCoder'
    )
    with pytest.raises(ValueError, match=message):
        whole_distiller(faster_rcnn(), teacher, ckpt).init_weights()


def test_sigmoid_and_softmax_are_not_mixed(tmp_path):
    loss = dict(type='CrossEntropyLoss', use_sigmoid=True)
    sigmoid = faster_rcnn(roi_head=dict(bbox_head=dict(loss_cls=loss)))
    ckpt = save_weights(sigmoid, tmp_path / 'teacher.pth')
    message = r'model.student.*use_sigmoid is False and model.teacher.*use_sigmoid is T'
    with pytest.raises(ValueError, match=message):
        distiller(faster_rcnn(), sigmoid, ckpt).init_weights()
