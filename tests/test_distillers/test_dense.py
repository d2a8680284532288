"""Dense detectors: the same priors on both sides, and no more of them than asked."""

import pytest
import torch
from tiny import dense, detection_batch, distiller, faster_rcnn, save_weights

from luminet_mm.distillers.sources import DenseSource
from luminet_mm.distillers.sources.dense import DenseRows
from luminet_mm.distillers.sources.dense_boxes import corners

FAMILIES = ['retinanet', 'fcos', 'atss', 'gfl']
SOFTMAX = dict(loss_cls=dict(_delete_=True, type='CrossEntropyLoss'))


@pytest.fixture
def make(tmp_path):
    """Builds a distiller whose teacher is of other weights, or of the student's."""

    def build(student, teacher=None, same=False, losses=None, **source):
        teacher = teacher or student
        ckpt = save_weights(teacher, tmp_path / 'teacher.pth', seed=1)
        source = dict(type='DenseSource', num_rows=50, **source)
        kwargs = dict(distill_losses=losses) if losses else {}
        model = distiller(student, teacher, ckpt, source=source, **kwargs)
        if same:
            model.load_state_dict(torch.load(ckpt)['state_dict'])
        else:
            model.init_weights()
        model.train()
        model.student.eval()  # no running statistics
        return model

    return build


def observe(model, seed=0):
    """Rows and teacher logits of one step, and what the student's loss was given."""
    data = model.data_preprocessor(detection_batch(seed=seed), True)
    calls = []
    handle = model.student.bbox_head.loss_cls.register_forward_pre_hook(
        lambda module, args: calls.append(args)
    )
    with model.source.observe(model.student, data['data_samples']) as rows:
        model.student(**data, mode='loss')
    handle.remove()
    preds_T = model._teach(data['inputs'], data['data_samples'], rows).logits
    return data, rows, preds_T, calls


def by_prior(maps, head, index):
    """Logits of prior ``index`` of each image by counting, shape (B, C)."""
    for level in maps:
        height, width = level.shape[2:]
        priors = level.shape[1] // head.cls_out_channels
        for y in range(height):
            for x in range(width):
                for prior in range(priors):
                    if index == 0:
                        first = prior * head.cls_out_channels
                        return level[:, first : first + head.cls_out_channels, y, x]
                    index -= 1
    raise IndexError(index)


@pytest.mark.parametrize('name', FAMILIES)
@pytest.mark.parametrize('rows', ['confident', 'assigned', 'all'])
def test_own_weights_give_exactly_zero(name, rows, make):
    model = make(dense(name), same=True, rows=rows)
    data = model.data_preprocessor(detection_batch(), True)
    losses = model.loss(**data)
    assert losses['loss_luminet'] == 0
    assert losses['loss_kd'] == 0
    with torch.no_grad():  # and it is no zero by construction
        model.student.backbone.conv1.weight.mul_(1.5)
    losses = model.loss(**data)
    assert losses['loss_luminet'] > 1e-6
    assert losses['loss_kd'] > 1e-9


WHOLE = dict(
    loss_box=dict(type='luminet_mm.BoxLoss'),
    loss_luminet=dict(type='luminet_mm.LuminetLoss'),
)
SIDES = dict(
    loss_sides=dict(type='luminet_mm.LuminetLoss', compares='sides'),
    loss_kl=dict(type='luminet_mm.KDLoss', compares='sides', tau=2.0),
)
QUALITY = dict(loss_quality=dict(type='luminet_mm.KDLoss', compares='objectness'))


@pytest.mark.parametrize(
    ('name', 'losses'),
    [
        ('retinanet', WHOLE),
        ('fcos', dict(WHOLE, **QUALITY)),
        ('gfl', dict(WHOLE, **SIDES)),
    ],
)
@pytest.mark.parametrize('rows', ['confident', 'all'])
def test_own_boxes_give_exactly_zero(name, losses, rows, make):
    model = make(dense(name), same=True, losses=losses, rows=rows)
    data = model.data_preprocessor(detection_batch(), True)
    for value in [model.loss(**data)[name] for name in losses]:
        assert value == 0
    with torch.no_grad():
        model.student.backbone.conv1.weight.mul_(1.5)
    told = model.loss(**data)
    for loss in losses:
        assert told[loss] > 1e-9
        model.zero_grad()
        told[loss].backward(retain_graph=True)
        assert model.student.backbone.conv1.weight.grad.abs().sum() > 0


def test_boxes_count_as_the_teacher_is_sure(make):
    """The mean over rows weighed by the teacher's likeliest class, by a loop."""
    model = make(dense('gfl'), losses=dict(WHOLE, **SIDES))
    data, rows, _, _ = observe(model)
    with torch.no_grad():
        taught = model._teach(data['inputs'], data['data_samples'], rows)
    losses = model._distill(rows, taught)
    weights = taught.logits[:, :3].sigmoid().amax(dim=1).double()
    assert torch.allclose(rows.weights.double(), weights)
    boxes = kl = 0
    for row, weight in enumerate(weights):
        pair = [each.deltas[row].double() for each in (rows, taught)]
        boxes += weight * (pair[0] - pair[1]).abs().sum()
        for side in range(4):
            student, teacher = (
                (each.sides[4 * row + side].double() / 2).log_softmax(dim=0)
                for each in (rows, taught)
            )
            kl += 4 * weight * (teacher.exp() * (teacher - student)).sum()
    total = weights.sum().clamp(min=1)
    assert losses['loss_box'].item() == pytest.approx((boxes / total).item())
    total = (4 * weights.sum()).clamp(min=1)
    assert losses['loss_kl'].item() == pytest.approx((kl / total).item(), rel=1e-5)


def test_a_loss_that_cannot_weigh_is_refused(make):
    losses = dict(loss_l1=dict(type='mmdet.L1Loss', compares='deltas'))
    with pytest.raises(ValueError, match='loss_l1: L1Loss cannot be told that rows'):
        make(dense('atss'), losses=losses)


def test_centreness_is_no_iou(make):
    """A PAA's head has an ATSS's parts, and predicts something else by them."""
    paa = dict(
        dense('atss'),
        type='PAA',
        bbox_head=dict(
            dense('atss')['bbox_head'],
            type='PAAHead',
            loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True),
        ),
    )
    make(dense('atss'), paa)
    with pytest.raises(ValueError, match='multiplied by centreness, and .* is IoU: re'):
        make(dense('atss'), paa, losses=QUALITY)


@pytest.mark.parametrize('student', ['atss', 'fcos'])
def test_boxes_of_another_coder(student, make):
    """ATSS regresses deltas of an anchor, GFL distributions, FCOS distances from a
    point that is half a stride away: the sides are seen from the student's prior."""
    for teacher in ('gfl', 'fcos', 'atss'):
        model = make(dense(student), dense(teacher), losses=WHOLE)
        data, rows, _, _ = observe(model)
        assert 0 < model.loss(**data)['loss_box'] < 100
        with torch.no_grad():
            taught = model._teach(data['inputs'], data['data_samples'], rows)
        center, size = rows.priors.split(2, dim=1)
        made = torch.cat(
            [
                center - taught.deltas[:, :2] * size,
                center + taught.deltas[:, 2:] * size,
            ],
            dim=1,
        )
        boxes = corners(taught.box_maps, rows.chosen, taught.head)
        assert torch.allclose(made, boxes, atol=1e-3)


@pytest.mark.parametrize('name', FAMILIES)
def test_rows_are_those_of_the_students_loss(name, make):
    """All rows, in upstream's own order, with the labels that upstream assigned."""
    model = make(dense(name), rows='all')
    _, rows, preds_T, calls = observe(model)
    logits = torch.cat([args[0] for args in calls])
    labels = [args[1][0] if isinstance(args[1], tuple) else args[1] for args in calls]
    assert torch.equal(rows.logits[:, :3], logits)
    assert torch.equal(rows.labels, torch.cat(labels))
    assert (rows.logits[:, 3] == 0).all()  # the background that a sigmoid implies
    assert (preds_T[:, 3] == 0).all()
    assert preds_T.shape == rows.logits.shape
    assert 0 < (rows.labels < 3).sum() < len(rows.labels)


@pytest.mark.parametrize('name', ['retinanet', 'gfl'])
@pytest.mark.parametrize('rows', ['confident', 'assigned'])
def test_chosen_rows_by_counting(name, rows, make):
    model = make(dense(name), rows=rows)
    data, rows, preds_T, _ = observe(model)
    head = model.student.bbox_head
    teacher = model.teachers[0].model
    maps_T = teacher.bbox_head(teacher.extract_feat(data['inputs']))[0]
    expected = {'S': [], 'T': [], 'labels': []}
    for index in rows.chosen.any(dim=0).nonzero()[:, 0].tolist():
        for image in rows.chosen[:, index].nonzero()[:, 0].tolist():
            expected['S'].append(by_prior(rows.maps, head, index)[image])
            expected['T'].append(by_prior(maps_T, head, index)[image])
            expected['labels'].append(rows.assigned[image, index])

    def table(logits, labels):
        """Rows in an order of their own."""
        return sorted(torch.cat([logits[:, :3], labels[:, None]], dim=1).tolist())

    labels = torch.stack(expected['labels'])
    assert len(labels) == 2 * 50
    assert table(rows.logits, rows.labels) == table(torch.stack(expected['S']), labels)
    assert table(preds_T, rows.labels) == table(torch.stack(expected['T']), labels)


def test_confident_rows_are_the_teachers_best(make):
    model = make(dense('retinanet'), rows='all')
    _, everything, _, _ = observe(model)
    data = model.data_preprocessor(detection_batch(), True)
    model.source = DenseSource(rows='confident', num_rows=7)
    _, rows, preds_T, _ = observe(model)
    teacher = model.teachers[0].model
    maps = teacher.bbox_head(teacher.extract_feat(data['inputs']))[0]
    for image in range(2):
        scores = torch.cat(
            [m[image].unflatten(0, (-1, 3)).amax(dim=1).flatten() for m in maps]
        )
        assert rows.chosen[image].sum() == 7
        best = preds_T[:, :3].amax(dim=1)
        assert set(scores.topk(7).values.tolist()) <= set(best.tolist())
    assert len(everything.logits) > 1000 * len(rows.logits) / 7


def test_assigned_rows_hold_every_positive(make):
    model = make(dense('atss'), rows='assigned')
    _, rows, _, _ = observe(model)
    positive = rows.assigned < 3
    assert positive.sum() > 0
    assert (positive <= rows.chosen).all()
    assert rows.chosen.sum(dim=1).tolist() == [50, 50]
    first = rows.chosen
    _, rows, _, _ = observe(model)
    assert not torch.equal(first, rows.chosen)  # the others are drawn anew


def test_softmax_head_has_its_own_background(make):
    cfg = dense('retinanet', bbox_head=SOFTMAX)
    model = make(cfg, rows='confident')
    _, rows, preds_T, _ = observe(model)
    assert model.student.bbox_head.cls_out_channels == 4
    assert rows.logits.shape == preds_T.shape == (100, 4)
    assert (rows.logits[:, 3] != 0).any()
    chosen = preds_T.log_softmax(dim=1)[:, :3].amax(dim=1)
    model.source = DenseSource(rows='all')
    _, _, preds_T, _ = observe(model)
    everything = preds_T.log_softmax(dim=1)[:, :3].amax(dim=1)
    # 50 of each of two images: at least the best 50 of all are among them
    assert set(everything.topk(50).values.tolist()) <= set(chosen.tolist())


def test_each_part_runs_once_and_learns(make):
    model = make(dense('gfl'))
    calls = []
    for role, detector in (
        ('student', model.student),
        ('teacher', model.teachers[0].model),
    ):
        for part in ('backbone', 'neck', 'bbox_head'):
            detector.get_submodule(part).register_forward_hook(
                lambda *_, name=f'{role}.{part}': calls.append(name)
            )
    data = model.data_preprocessor(detection_batch(), True)
    losses = model.loss(**data)
    assert sorted(calls) == [
        f'{role}.{part}'
        for role in ('student', 'teacher')
        for part in ('backbone', 'bbox_head', 'neck')
    ]
    losses['loss_luminet'].backward()
    assert model.student.bbox_head.gfl_cls.weight.grad.abs().sum() > 0
    assert model.student.backbone.conv1.weight.grad.abs().sum() > 0
    assert model.student.bbox_head.gfl_reg.weight.grad is None


def test_teachers_of_another_kind(make):
    """One prior at each location: ATSS, GFL and FCOS make the same rows."""
    model = make(dense('gfl'), dense('atss'))
    data = model.data_preprocessor(detection_batch(), True)
    assert model.loss(**data)['loss_luminet'] > 0


def test_memory_is_bounded(make):
    """Nothing of the size of all priors times classes is kept for the backward."""
    model = make(dense('retinanet', num_classes=80), rows='confident')
    data = model.data_preprocessor(detection_batch(num_classes=80), True)
    with model.source.observe(model.student, data['data_samples']) as rows:
        model.student(**data, mode='loss')
    biggest = max(level.numel() for level in rows.maps)
    preds_T = model._teach(data['inputs'], data['data_samples'], rows).logits
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: saved.append(t.numel()) or t, lambda t: t
    ):
        model._distill(rows, DenseRows(preds_T))
    assert max(saved) <= rows.logits.numel() == 2 * 50 * 81 < biggest / 10


def test_no_object_at_all(make):
    model = make(dense('retinanet'), rows='assigned')
    batch = detection_batch()
    for sample in batch['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    losses = model.loss(**model.data_preprocessor(batch, True))
    assert losses['loss_luminet'].isfinite()


@pytest.mark.parametrize(
    ('teacher', 'message'),
    [
        (dense('retinanet', num_classes=4), 'num_classes: 3 of the student .* and 4'),
        (dense('retinanet', bbox_head=SOFTMAX), 'use_sigmoid_cls: True .* and False'),
        (
            dense(
                'retinanet',
                bbox_head=dict(
                    anchor_generator=dict(strides=[4, 8, 16, 32, 64]),
                ),
            ),
            r'strides of the levels: \[\(8, 8\), .* and \[\(4, 4\)',
        ),
        (
            dense(
                'retinanet', bbox_head=dict(anchor_generator=dict(octave_base_scale=8))
            ),
            'priors at each location: .* they must be the same',
        ),
        (dense('fcos'), 'priors at each location: .* and .1. of the teacher'),
        (faster_rcnn(), 'FasterRCNN, which cannot teach a RetinaNet: DenseSource'),
    ],
)
def test_wrong_teacher(teacher, message, make):
    with pytest.raises(ValueError, match=message):
        make(dense('retinanet'), teacher)


def test_wrong_source():
    with pytest.raises(ValueError, match="model.source.rows='best' must be one of"):
        DenseSource(rows='best')
    with pytest.raises(ValueError, match='num_rows=0 must be an integer of at least 1'):
        DenseSource(num_rows=0)


def test_maps_of_other_sizes(make):
    model = make(dense('retinanet'))
    rows = DenseRows(maps=[torch.zeros(1, 27, 4, 4)])
    with pytest.raises(ValueError, match='shapes .* not of the same places'):
        model.source.teach(model.teachers[0].model, torch.zeros(1, 3, 64, 64), rows)


def test_head_that_assigns_no_class(make):
    """VFNet's loss takes a quality for each class, not the index of one."""
    with pytest.raises(ValueError, match="rows='assigned': VFNetHead does not assign"):
        observe(make(dense('vfnet'), rows='assigned').train())
    _, rows, preds_T, _ = observe(make(dense('vfnet')).train())
    assert rows.labels is None
    assert rows.logits.shape == preds_T.shape == (100, 4)
