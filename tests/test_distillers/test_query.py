"""DETR and its family: queries in pairs, by what they found."""

import copy
from itertools import permutations

import mmdet.models
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from tiny import DETR, build, detection_batch, detr, distiller, faster_rcnn

from luminet_mm.distillers.proof import CHANCE
from luminet_mm.distillers.sources import QuerySource
from luminet_mm.registry import MODELS

BOX = dict(loss_box=dict(type='luminet_mm.BoxLoss'))
LOSSES = dict(
    loss_luminet=dict(type='luminet_mm.LuminetLoss'),
    loss_kd=dict(type='luminet_mm.KDLoss'),
    **BOX,
)


@pytest.fixture
def make(tmp_path):
    """Builds a distiller whose teacher is of other weights, or of the student's."""

    def make(student, *teachers, same=False, losses=LOSSES, **source):
        teachers = teachers or (student,)
        ckpts = []
        for i, teacher in enumerate(teachers):
            weights = some_weights(build(teacher, i + 1)).state_dict()
            ckpts.append(str(tmp_path / f'teacher{i}.pth'))
            torch.save(dict(state_dict=weights), ckpts[-1])
        model = distiller(
            student,
            list(teachers),
            ckpts,
            source=dict(type='QuerySource', **source),
            distill_losses=losses,
        )
        some_weights(model)
        if same:
            model.load_state_dict(torch.load(ckpts[0])['state_dict'])
        return calm(model)

    return make


def some_weights(model):
    """Initial ones, but none is 0, by which all boxes would be the same."""
    model.init_weights()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.03 * torch.randn_like(weight))
    return model


def calm(model):
    """As in training, but for what depends on the batch or chance."""
    model.train()
    for module in model.modules():
        if any(each in type(module).__name__ for each in CHANCE):
            module.eval()
    return model


def taught(model, batch=None):
    """The student's rows of a batch, the teachers', and the batch."""
    data = model.data_preprocessor(batch or detection_batch(), True)
    torch.manual_seed(0)  # of denoising queries
    with model.source.observe(model.student, data['data_samples']) as rows:
        model.student(**data, mode='loss')
    return rows, model._teach(data['inputs'], data['data_samples'], rows), data


@pytest.mark.parametrize('layers', ['last', 'all'])
@pytest.mark.parametrize('name', DETR)
def test_own_weights_give_exactly_zero(name, layers, make):
    model = make(detr(name), same=True, decoder_layers=layers)
    model.student.requires_grad_(False)  # torch adds up in another order with it
    data = model.data_preprocessor(detection_batch(), True)
    losses = model.loss(**copy.deepcopy(data))
    # queries of training alone make torch add up in another order, too
    tolerance = 1e-6 if name in ('dino', 'ddq') else 0
    for each in LOSSES:
        assert abs(losses[each]) <= tolerance, each
    with torch.no_grad():  # and it is no zero by construction
        for weight in model.student.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    losses = model.loss(**data)
    assert losses['loss_luminet'] > 1e-5 and losses['loss_box'] > 1e-5
    assert losses['loss_kd'] > 1e-8


@pytest.mark.parametrize('name', ['dino', 'ddq'])
def test_queries_of_training_alone_are_left_out(name, make):
    """A student is compared by the queries that it has in testing."""
    model = make(detr(name), num_rows=None)
    rows, _, data = taught(model)
    model.student.eval()
    scores, boxes = model.student(**data, mode='tensor')[:2]
    assert rows.scores.shape == (1, 2, 20, 3)
    torch.testing.assert_close(rows.scores, scores[-1:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(rows.boxes, boxes[-1:], atol=1e-5, rtol=1e-4)


def test_rows_are_those_of_a_naive_loop(make):
    """The teacher's best by probability, each with what the student is matched by."""
    model = make(detr('deformable'), num_rows=7)
    rows, preds_T, data = taught(model)
    teacher = model.teachers[0].model
    logits, boxes = teacher(data['inputs'], data['data_samples'], mode='tensor')[:2]
    logits_S, boxes_S, labels = [], [], []
    for image, sample in enumerate(data['data_samples']):
        best = sorted(range(20), key=lambda q: -float(logits[-1, image, q].max()))[:7]
        found = InstanceData(
            bboxes=pixels(boxes[-1, image], sample)[best],
            labels=logits[-1, image][best].argmax(1),
        )
        own = InstanceData(
            bboxes=pixels(rows.boxes[0, image], sample), scores=rows.scores[0, image]
        )
        assigned = model.student.bbox_head.assigner.assign(own, found, sample.metainfo)
        places = [int((assigned.gt_inds == k + 1).nonzero()) for k in range(7)]
        part = slice(7 * image, 7 * image + 7)
        zeros = torch.zeros(7, 1)
        expected = torch.cat([logits[-1, image][best], zeros], dim=1)
        assert torch.equal(preds_T.logits[part], expected)
        assert torch.equal(preds_T.deltas[part], boxes[-1, image][best])
        weights = logits[-1, image][best].sigmoid().amax(1)
        assert torch.equal(rows.weights_of('deltas')[part], weights)
        logits_S.append(torch.cat([rows.scores[0, image][places], zeros], dim=1))
        boxes_S.append(rows.boxes[0, image][places])
        labels.append(rows.assigned[0, image][places])
    assert torch.equal(rows.logits, torch.cat(logits_S))
    assert torch.equal(rows.deltas, torch.cat(boxes_S))
    assert torch.equal(rows.labels_of('logits'), torch.cat(labels))
    assert rows.weights_of('logits') is None
    assert rows.logits.requires_grad and rows.deltas.requires_grad
    assert not preds_T.logits.requires_grad


def pixels(boxes, sample):
    height, width = sample.img_shape
    x, y, w, h = boxes.unbind(1)
    sides = [(x - w / 2) * width, (y - h / 2) * height]
    return torch.stack(
        [*sides, (x + w / 2) * width, (y + h / 2) * height], dim=1
    ).detach()


def test_pairs_have_the_lowest_cost_of_all(make):
    """DETR's cost of its paper: 1 - probability of the class, 5 L1, 2 (1 - GIoU)."""
    model = make(detr('detr', num_queries=5), num_rows=3)
    rows, preds_T, data = taught(model)
    for image, sample in enumerate(data['data_samples']):
        part = slice(3 * image, 3 * image + 3)
        prob = rows.scores[0, image].softmax(1)
        boxes, targets = rows.boxes[0, image], preds_T.deltas[part]
        corners, wanted = pixels(boxes, sample), pixels(targets, sample)
        cost = torch.empty(5, 3, dtype=torch.float64)
        for query in range(5):
            for target in range(3):
                kind = preds_T.logits[part][target, :3].argmax()
                cost[query, target] = (
                    5 * (boxes[query] - targets[target]).abs().sum()
                    - 2 * giou(corners[query], wanted[target])
                    - prob[query, kind]
                )
        best = min(permutations(range(5), 3), key=lambda p: cost[p, [0, 1, 2]].sum())  # noqa: B023
        assert torch.equal(rows.logits[part], rows.scores[0, image][list(best)])


def giou(a, b):
    lo, hi = torch.maximum(a[:2], b[:2]), torch.minimum(a[2:], b[2:])
    both = (hi - lo).clamp(min=0).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - both
    hull = (torch.maximum(a[2:], b[2:]) - torch.minimum(a[:2], b[:2])).prod()
    return both / union - (hull - union) / hull


@pytest.mark.parametrize('name', ['detr', 'dab', 'dino'])
def test_labels_are_those_of_the_students_own_loss(name, make):
    model = make(detr(name), num_rows=None, decoder_layers='all')
    rows, _, data = taught(model)
    assert rows.assigned.shape == (2, 2, 20)
    objects = rows.assigned < 3
    for image, sample in enumerate(data['data_samples']):
        truth = sorted(sample.gt_instances.labels.tolist())
        for layer in range(2):
            found = rows.assigned[layer, image][objects[layer, image]]
            assert sorted(found.tolist()) == truth
    assert (rows.labels < 3).sum() == objects.sum() == 2 * 2 * 3


@pytest.mark.parametrize(('own', 'others'), [(20, 12), (12, 20)])
@pytest.mark.parametrize('num_rows', [None, 5])
def test_numbers_of_queries_may_differ(own, others, num_rows, make):
    model = make(
        detr('dab', num_queries=own), detr('dab', num_queries=others), num_rows=num_rows
    )
    rows, preds_T, _ = taught(model)
    num = 2 * (num_rows or 12)
    assert rows.logits.shape == preds_T.logits.shape == (num, 4)
    # a query is in one pair at most
    assert len(rows.deltas.unique(dim=0)) == len(preds_T.deltas.unique(dim=0)) == num


def test_another_decoder_teaches(make):
    """Of the family, any teaches any whose head has the same columns."""
    model = make(detr('deformable'), detr('dino', decoder=dict(num_layers=3)))
    losses = model.loss(**model.data_preprocessor(detection_batch(), True))
    sum(losses[name] for name in LOSSES).backward()
    assert model.student.backbone.conv1.weight.grad.abs().sum() > 0
    assert model.student.bbox_head.reg_branches[-1][-1].weight.grad.abs().sum() > 0


def test_two_teachers_are_matched_to_the_first(make):
    model = make(detr('dab'), detr('dab'), detr('dab', num_queries=30), num_rows=6)
    rows, mean, data = taught(model)
    each = [
        teacher.predict(model.source, data['inputs'], data['data_samples'], rows)
        for teacher in model.teachers
    ]
    # asked again, the first is matched to itself
    assert torch.equal(mean.logits, (each[0].logits + each[1].logits) / 2)
    assert len(rows.logits) == len(mean.deltas) == 12


def test_a_second_teacher_of_fewer_queries(make):
    model = make(detr('dab'), detr('dab'), detr('dab', num_queries=4), num_rows=6)
    with pytest.raises(ValueError, match='num_rows: 6 queries .* one teacher has only'):
        taught(model)


def test_padding_of_the_teacher(make):
    """The teacher sees its own padding, masked as if it were asked alone."""
    padded = detr('detr', data_preprocessor=dict(pad_size_divisor=64))
    batch = detection_batch()
    model = make(detr('detr'), padded, num_rows=None)
    _, preds_T, data = taught(model, copy.deepcopy(batch))
    teacher = model.teachers[0].model
    alone = teacher.data_preprocessor(batch, False)
    assert alone['inputs'].shape != data['inputs'].shape
    _, boxes = teacher(**alone, mode='tensor')
    expected = boxes[-1].flatten(0, 1)
    assert torch.equal(preds_T.deltas.sort(dim=0)[0], expected.sort(dim=0)[0])


@pytest.mark.parametrize(
    ('student', 'teacher', 'source', 'message'),
    [
        (
            detr('dab'),
            detr('dab', num_classes=4),
            {},
            'model.student.bbox_head.num_classes is 3 and model.teacher.bbox_head.num',
        ),
        (
            detr('dab'),
            detr('detr'),
            {},
            r'bbox_head.loss_cls.use_sigmoid is True and .*use_sigmoid is False',
        ),
        (
            detr('dab'),
            detr('dab', decoder=dict(num_layers=3)),
            dict(decoder_layers='all'),
            r"num_layers is 2 and .* is 3: .* model.source.decoder_layers='all'",
        ),
    ],
)
def test_what_cannot_be_compared(student, teacher, source, message, make):
    with pytest.raises(ValueError, match=message):
        make(student, teacher, **source)


@pytest.mark.parametrize('compared', ['objectness', 'sides'])
def test_what_a_query_does_not_predict(compared, make):
    losses = dict(loss_kd=dict(type='luminet_mm.KDLoss', compares=compared))
    with pytest.raises(ValueError, match=f'loss_kd.*{compared}'):
        make(detr('dab'), losses=losses)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(decoder_layers=3), 'model.source.decoder_layers=3 must be one of'),
        (dict(num_rows='all'), "model.source.num_rows='all' must be an"),
        (dict(num_rows=0), 'model.source.num_rows=0 must'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        QuerySource(**arguments)


def test_words_are_no_classes():
    model = mmdet.models.GroundingDINO.__new__(mmdet.models.GroundingDINO)
    with pytest.raises(ValueError, match='model.student is a GroundingDINO, whose log'):
        QuerySource().check_model(model, 'model.student')


def test_a_detector_of_another_kind(make):
    with pytest.raises(ValueError, match='needs both of one family'):
        make(detr('dab'), faster_rcnn())


def test_mutual_learning_is_refused():
    init_default_scope('mmdet')
    with pytest.raises(ValueError, match='each model of a MutualDistiller makes its'):
        MODELS.build(
            dict(
                type='luminet_mm.MutualDistiller',
                student=detr('dab'),
                peers=[detr('dab')],
                distill_losses=dict(loss_kd=dict(type='luminet_mm.KDLoss')),
            )
        )


def test_weights_of_a_ddq_that_was_trained(make, tmp_path):
    """Its decoder then has some of the head's, which no fresh one has."""
    model = make(detr('ddq'))
    data = model.data_preprocessor(detection_batch(), True)
    model.student(**data, mode='loss')
    weights = model.student.state_dict()
    twins = [name for name in weights if name.startswith('decoder.aux_reg_branches')]
    assert twins
    torch.save(dict(state_dict=weights), tmp_path / 'trained.pth')

    def teacher():
        ckpt = str(tmp_path / 'trained.pth')
        kwargs = dict(source=dict(type='QuerySource'), distill_losses=LOSSES)
        return distiller(detr('ddq'), detr('ddq'), ckpt, **kwargs).build_teachers()[0]

    assert torch.equal(teacher().model.level_embed, weights['level_embed'])
    weights[twins[0]] = weights[twins[0]] + 1  # not the head's any more
    torch.save(dict(state_dict=weights), tmp_path / 'trained.pth')
    with pytest.raises(ValueError, match=f'unexpected keys .*: {twins[0]}'):
        teacher()


@pytest.mark.parametrize('name', DETR)
def test_a_student_starts_from_its_checkpoint_whole(name, tmp_path):
    """Upstream's own init_weights draws the transformer after it was loaded."""
    trained = some_weights(build(detr(name))).state_dict()
    ckpt = str(tmp_path / 'trained.pth')
    torch.save(dict(state_dict=trained), ckpt)
    init_cfg = dict(type='Pretrained', checkpoint=ckpt)
    model = distiller(
        dict(detr(name), init_cfg=init_cfg),
        detr(name),
        ckpt,
        source=dict(type='QuerySource'),
        distill_losses=LOSSES,
    )
    model.init_weights()
    starts = model.student.state_dict()
    assert not [each for each in starts if not torch.equal(starts[each], trained[each])]
