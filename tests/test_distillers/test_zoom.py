"""A teacher that sees the student's images at another size."""

import copy
from itertools import product

import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from tiny import (
    RGB_PIXELS,
    cascade_rcnn,
    classifier,
    dense,
    detection_batch,
    detr,
    distiller,
    faster_rcnn,
    image_batch,
    save_weights,
    vit,
)

from luminet_mm.distillers.pixels import PixelTranslator
from luminet_mm.distillers.sources import DenseSource, Source
from luminet_mm.distillers.zoom import Zoom
from luminet_mm.losses import BoxLoss, KDLoss
from luminet_mm.visualization import detect, detect_by_teachers

KD = dict(type='luminet_mm.KDLoss')
WHOLE = dict(loss_kd=KD, loss_box=dict(type='luminet_mm.BoxLoss'))
RPN = dict(WHOLE, loss_rpn=dict(KD, compares='objectness'))


@pytest.fixture
def make(tmp_path):
    """Builds a distiller whose teacher is of other weights."""

    def make(student, teacher, losses=WHOLE, seed=1, **kwargs):
        plain = {k: v for k, v in teacher.items() if k not in ('scale', 'size')}
        ckpt = save_weights(plain, tmp_path / 'teacher.pth', seed)
        model = distiller(student, teacher, ckpt, distill_losses=losses, **kwargs)
        model.init_weights()
        model.train()
        model.student.eval()
        return model

    return make


def observed(model, batch):
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    with model.source.observe(model.student, data['data_samples']) as rows:
        model.student(**data, mode='loss')
    return data, rows


def teach(model, data, rows):
    (teacher,) = model.teachers
    return teacher.predict(model.source, data['inputs'], data['data_samples'], rows)


def test_pixels_are_resized_before_they_are_padded():
    """Each image apart: no padding bleeds into it."""
    student = DetDataPreprocessor(pad_size_divisor=32, **RGB_PIXELS)
    translate = PixelTranslator(student, student, Zoom(1.5))
    data = student(detection_batch([(60, 80), (50, 90)]), True)
    images = translate(**data)
    assert images.shape == (2, 3, 96, 160)  # of 64 x 96 pixels 96 x 144, and padded
    for image, seen, (h, w) in zip(data['inputs'], images, [(60, 80), (50, 90)]):
        shape = (round(1.5 * h), round(1.5 * w))
        expected = torch.nn.functional.interpolate(
            image[None, :, :h, :w], shape, mode='bilinear'
        )[0]
        torch.testing.assert_close(seen[:, : shape[0], : shape[1]], expected)
        assert (seen[:, shape[0] :] == 0).all() and (seen[:, :, shape[1] :] == 0).all()


@pytest.mark.parametrize('size', [(64, 64), (48, 64), (16, 16)])
def test_a_classifier_of_another_size(size, make):
    teacher = dict(classifier(), size=size)
    model = make(classifier(), teacher, dict(loss_kd=KD))
    data, rows = observed(model, image_batch())
    seen = torch.nn.functional.interpolate(
        data['inputs'], size, mode='bilinear', antialias=True
    )
    expected = model.teachers[0].model.head(model.teachers[0].model.extract_feat(seen))
    assert torch.equal(teach(model, data, rows).logits, expected)


def test_a_vit_at_its_own_size(make):
    """Which cannot take any other."""
    teacher = dict(vit(img_size=64, patch_size=16), size=(64, 64))
    model = make(classifier(), teacher, dict(loss_kd=KD))
    losses = model.loss(**model.data_preprocessor(image_batch(), True))
    assert losses['loss_kd'].isfinite() and losses['loss_kd'] > 0


@pytest.mark.parametrize('scale', [0.5, 1.5, 2])
@pytest.mark.parametrize('teacher', [faster_rcnn, cascade_rcnn])
def test_rois_are_those_of_the_larger_image(teacher, scale, make):
    """As if the teacher were asked alone about the larger image's RoIs."""
    batch = detection_batch([(96, 128), (81, 111)])
    model = make(faster_rcnn(), dict(teacher(), scale=scale))
    data, rows = observed(model, batch)
    seen = model.teachers[0].prepare_inputs(**data)
    own = model.teachers[0].model
    rois = rows.rois.clone()
    for index, sample in enumerate(data['data_samples']):
        h, w = sample.img_shape
        x, y = round(w * scale) / w, round(h * scale) / h
        rois[rois[:, 0] == index, 1:] *= torch.tensor([x, y, x, y])
    stage = [0] if teacher is cascade_rcnn else []
    expected = own.roi_head._bbox_forward(*stage, own.extract_feat(seen), rois)
    taught = teach(model, data, rows)
    torch.testing.assert_close(taught.logits, expected['cls_score'])
    # deltas are in sizes of the RoI, which is as much larger as its object
    assert taught.deltas.shape == rows.deltas.shape


SQUARE = [(128, 128), (128, 128)]
DENSE = ['retinanet', 'fcos', 'atss', 'gfl']


@pytest.mark.parametrize('octaves', [1, -1])
@pytest.mark.parametrize(
    ('name', 'rows'), [('rpn', ''), *product(DENSE, ('confident', 'assigned', 'all'))]
)
def test_levels_are_shifted(name, rows, octaves, make):
    """A head is told of the same maps at another level: the same places are compared.

    The maps of all levels of the teacher are those of the student, a level further, so
    whatever is compared is equal if it is paired right.
    """
    scale = 2.0**octaves
    if name == 'rpn':
        model = make(faster_rcnn(), dict(faster_rcnn(), scale=scale), RPN)
        head_S, head_T = model.student.rpn_head, model.teachers[0].model.rpn_head
    else:
        losses = dict(WHOLE, loss_q=dict(KD, compares='objectness'))
        losses = losses if name in ('fcos', 'atss') else WHOLE
        source = dict(type='DenseSource', rows=rows, num_rows=40)
        teacher = dict(dense(name), scale=scale)
        model = make(dense(name), teacher, losses, source=source)
        head_S, head_T = model.student.bbox_head, model.teachers[0].model.bbox_head
    of_student = []
    head_S.register_forward_hook(lambda m, a, output: of_student.append(output))

    def shifted(module, args, output):
        given, levels = [], len(output[0])
        for part, own in zip(of_student[0], output):
            maps = [
                part[i - octaves] if 0 <= i - octaves < levels else own[i]
                for i in range(levels)
            ]
            if name == 'fcos' and len(given) == 1:  # distances in pixels
                maps = [level * scale for level in maps]
            given.append(maps)
        return tuple(given)

    head_T.register_forward_hook(shifted)
    head_S.training = True
    data, seen = observed(model, detection_batch(SQUARE))
    taught = teach(model, data, seen)
    if name == 'rpn':
        assert torch.equal(seen.objectness, taught.objectness)
        assert 0 < len(seen.objectness) == seen.chosen.sum()
        return
    assert torch.equal(seen.logits, taught.logits)
    torch.testing.assert_close(seen.deltas, taught.deltas, rtol=1e-4, atol=1e-5)
    if seen.objectness is not None:
        assert torch.equal(seen.objectness, taught.objectness)
    # nothing of the level that has no counterpart
    sizes = [m.shape[2] * m.shape[3] * m.shape[1] for m in seen.maps]
    sizes = [size // head_S.cls_out_channels for size in sizes]
    levels = seen.chosen.split(sizes, dim=1)
    alone = len(levels) - 1 if octaves > 0 else 0
    assert not levels[alone].any()
    if rows == 'all':
        assert all(level.all() for i, level in enumerate(levels) if i != alone)
    else:
        assert seen.chosen.sum(dim=1).tolist() == [40, 40]
    assert KDLoss()(seen.logits, taught.logits) == 0
    assert BoxLoss()(seen.deltas, taught.deltas) < 1e-4


def test_queries_need_no_shift(make):
    """Boxes are in units of the image: as the teacher alone says of the larger."""
    batch = detection_batch([(96, 128), (80, 112)])
    source = dict(type='QuerySource', num_rows=None)
    student = detr('detr', num_queries=6)
    model = make(student, dict(student, scale=1.5), source=source)
    data, rows = observed(model, batch)
    taught = teach(model, data, rows)
    # matched in the student's pixels: the same boxes, told at once, have the same pairs
    assigner = model.student.bbox_head.assigner
    for image, sample in enumerate(data['data_samples']):
        part = slice(6 * image, 6 * image + 6)
        height, width = sample.img_shape
        unit = torch.tensor([width, height, width, height])
        own, found = (
            bbox_cxcywh_to_xyxy(boxes) * unit
            for boxes in (rows.boxes[0, image].detach(), taught.deltas[part])
        )
        own = InstanceData(bboxes=own, scores=rows.scores[0, image].detach())
        labels = taught.logits[part, :3].argmax(dim=1)
        found = InstanceData(bboxes=found, labels=labels)
        pairs = assigner.assign(own, found, img_meta=sample.metainfo).gt_inds
        assert torch.equal(rows.deltas[part], rows.boxes[0, image][pairs.argsort()])
    larger = data['data_samples'][1].clone()
    larger.set_metainfo(dict(img_shape=(120, 168), batch_input_shape=(144, 192)))
    first = data['data_samples'][0].clone()
    first.set_metainfo(dict(img_shape=(144, 192), batch_input_shape=(144, 192)))
    seen = model.teachers[0].prepare_inputs(**data)
    _, boxes = model.teachers[0].model(seen, [first, larger], mode='tensor')
    assert torch.equal(
        taught.deltas.sort(dim=0)[0], boxes[-1].flatten(0, 1).sort(dim=0)[0]
    )


def test_features_of_levels_that_match(make):
    """At twice the size the teacher's second level is as large as the first."""
    pkd = dict(type='luminet_mm.PKDLoss', layers=[('neck[:3]', 'neck[1:4]')])
    losses = dict(loss_kd=KD, loss_pkd=pkd)
    model = make(faster_rcnn(), dict(faster_rcnn(), scale=2), losses)
    for sizes in (SQUARE, [(90, 128), (96, 100)]):
        data = model.data_preprocessor(detection_batch(sizes), True)
        assert model.loss(**data)['loss_pkd'] > 0


def test_what_the_log_says(make):
    model = make(faster_rcnn(), dict(faster_rcnn(), scale=1.5))
    assert 'by its own config; images resized by 1.5' in model._summary()


def test_pictures_show_boxes_of_the_students_size(make):
    """A teacher's detections, whatever the size at which it sees."""
    model = make(faster_rcnn(), dict(faster_rcnn(), scale=2))
    batch = detection_batch(SQUARE)
    data = model.data_preprocessor(batch, True)
    for sample in data['data_samples']:
        sample.set_metainfo(dict(scale_factor=(0.5, 0.5)))
    seen = model.teachers[0].prepare_inputs(**data)
    samples = [sample.clone() for sample in data['data_samples']]
    for sample in samples:
        sample.set_metainfo(dict(img_shape=(256, 256), scale_factor=(1.0, 1.0)))
    expected = detect(model.teachers[0].model, seen, samples)
    assert len(expected[0])
    for rescale, factor in ((True, 1.0), (False, 0.5)):
        found = detect_by_teachers(model, **data, rescale=rescale)['teacher']
        for one, other in zip(found, expected):
            torch.testing.assert_close(one.bboxes, other.bboxes * factor)


@pytest.mark.parametrize(
    ('student', 'teacher', 'message'),
    [
        (
            dense('retinanet'),
            dict(scale=1.5),
            'model.teacher is resized by 1.5, and the priors .*scale must be 2, 4, 0.5',
        ),
        (
            faster_rcnn(),
            dict(size=(64, 64)),
            r'size=\(64, 64\) brings .* model.student is a FasterRCNN; set .*scale',
        ),
        (classifier(), dict(scale=0), 'model.teacher.scale=0 must be a finite number'),
        (classifier(), dict(scale='2'), "model.teacher.scale='2' must be a finite"),
        (classifier(), dict(size=224), 'model.teacher.size=224 must be two'),
        (classifier(), dict(size=(224,)), r'size=\(224,\) must be two integers'),
        (classifier(), dict(size=(0, 9)), 'model.teacher.size=0 must be an integer'),
        (classifier(), dict(size=(9, 9), scale=2), 'give one of the two'),
    ],
)
def test_wrong_zooms(student, teacher, message):
    with pytest.raises((TypeError, ValueError), match=message):
        distiller(student, dict(student, **teacher), 'none.pth')


def test_objectness_needs_the_same_places():
    teacher = dict(faster_rcnn(), scale=1.5)
    with pytest.raises(ValueError, match='resized by 1.5, and objectness can only be'):
        distiller(faster_rcnn(), teacher, 'none.pth', distill_losses=RPN)


def test_a_source_of_somebody_else_says_so():
    class Own(DenseSource):
        check_zoom = Source.check_zoom

    with pytest.raises(ValueError, match='Own cannot pair the rows of two sizes'):
        Own().check_zoom(Zoom(2), 'model.teacher', None)


@pytest.mark.parametrize('name', ['PKD', 'CWD', 'MGD', 'FGD', 'FGFI'])
def test_maps_of_another_size_are_not_compared(name, make):
    """Place by place, they would be of other places."""
    losses = dict(loss_kd=KD, loss_f=dict(type=f'luminet_mm.{name}Loss'))
    for scale in (0.75, 1.5):
        with pytest.raises(ValueError, match='loss_f.layers.*different levels.*scale'):
            make(faster_rcnn(), dict(faster_rcnn(), scale=scale), losses)


@pytest.mark.parametrize('size', [(16, 16), (48, 48), (64, 64)])
def test_maps_of_a_classifier_of_another_size(size, make):
    loss = dict(type='luminet_mm.CWDLoss', layers=[('stages', 'stages')])
    losses = dict(loss_kd=KD, loss_f=loss)
    with pytest.raises(ValueError, match='loss_f.*different levels.*size change'):
        model = make(classifier(), dict(classifier(), size=size), losses)
        model.loss(**model.data_preprocessor(image_batch(), True))


def by_place(octaves):
    """A hook that writes into a head's classification maps where each cell is, in the
    levels of the student."""

    def code(level, index):
        height, width = level.shape[2:]
        y, x = torch.arange(height)[:, None], torch.arange(width)
        place = index - octaves + 0.01 * y + 0.0001 * x
        return place.expand(*level.shape).clone()

    def hook(module, args, output):
        maps = [code(level, index) for index, level in enumerate(output[0])]
        return (maps, *output[1:])

    return hook


@pytest.mark.parametrize('pads', [(32, 1), (32, 32), (32, 64), (64, 32)])
@pytest.mark.parametrize('scale', [0.5, 1, 2])
@pytest.mark.parametrize('name', ['rpn', 'retinanet', 'fcos'])
def test_padding_of_student_and_teacher(name, scale, pads, make):
    """Whatever both are, each row is of the same place."""
    plain = faster_rcnn if name == 'rpn' else lambda **kwargs: dense(name, **kwargs)
    student, teacher = (
        plain(data_preprocessor=dict(pad_size_divisor=pad)) for pad in pads
    )
    losses, part = dict(loss_kd=KD), 'bbox_head'
    source = dict(type='DenseSource', num_rows=99)
    if name == 'rpn':
        losses, part = dict(loss_rpn=dict(KD, compares='objectness')), 'rpn_head'
        source = dict(type='TwoStageSource', num_anchors=99)
    model = make(student, dict(teacher, scale=scale), losses, source=source)
    head = getattr(model.student, part)
    head.train()
    head.register_forward_hook(by_place(0))
    octaves = {0.5: -1, 1: 0, 2: 1}[scale]
    getattr(model.teachers[0].model, part).register_forward_hook(by_place(octaves))
    for sizes in ([(96, 128), (70, 90)], [(100, 160)] * 2, [(33, 200), (200, 33)]):
        data, rows = observed(model, detection_batch(sizes))
        rows.image_size = tuple(data['inputs'].shape[-2:])
        taught = teach(model, data, rows)
        compared = 'objectness' if name == 'rpn' else 'logits'
        own, theirs = getattr(rows, compared), getattr(taught, compared)
        assert len(own) == rows.chosen.sum() > 50
        torch.testing.assert_close(own, theirs, rtol=0, atol=1e-6)


def test_a_pyramid_that_is_not_by_twos(make):
    """SSD's levels have anchors of sizes of their own."""
    sizes = dict(base_sizes=[30, 60, 101, 202, 404])
    student = dense('retinanet', bbox_head=dict(anchor_generator=sizes))
    teacher = dict(copy.deepcopy(student), scale=2)
    with pytest.raises(ValueError, match='the priors of level 2 .* are not those of'):
        distiller(student, teacher, 'none.pth')


def test_teachers_of_several_sizes(tmp_path):
    student = dense('retinanet')
    ckpt = save_weights(student, tmp_path / 'teacher.pth')
    padded = dense('retinanet', data_preprocessor=dict(pad_size_divisor=64))
    for others, message in (
        (dict(student, scale=2), r'scale of the teachers is \[1.0, 2\]'),
        (padded, r'pad_size_divisor of the teachers is \[32, 64\]'),
    ):
        model = distiller(student, [student, others], [ckpt, ckpt])
        with pytest.raises(ValueError, match=message):
            model.build_teachers()


def test_bfloat16_is_resized():
    images = torch.rand(1, 3, 8, 8)
    zoomed = Zoom(1.5)(images.bfloat16())
    assert zoomed.dtype == torch.bfloat16
    torch.testing.assert_close(zoomed.float(), Zoom(1.5)(images), rtol=0.02, atol=0.02)


def test_levels_that_do_not_match(make):
    """Of three levels none is left at eight times the size."""
    model = make(dense('retinanet'), dict(dense('retinanet'), scale=32))
    data, rows = observed(model, detection_batch([(32, 32)]))
    with pytest.raises(ValueError, match='levels of the teacher by 5, .* nearer to 1'):
        teach(model, data, rows)
