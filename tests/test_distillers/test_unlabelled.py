"""A teacher that teaches alone: the student's own losses off, images without labels."""

import copy

import mmengine
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from tiny import (
    build,
    classification_run,
    classifier,
    coco_set,
    dense,
    detection_batch,
    detection_run,
    detr,
    distilled,
    distiller,
    faster_rcnn,
    image_batch,
    image_folder,
    mask_rcnn,
    save_weights,
)

from luminet_mm.distillers import own_loss, proof
from luminet_mm.distillers.proof import CHANCE

KD = dict(type='luminet_mm.KDLoss')
DKD = dict(type='luminet_mm.DKDLoss')
BOX = dict(type='luminet_mm.BoxLoss')
RPN = dict(KD, compares='objectness')


@pytest.fixture
def make(tmp_path):
    def make(student, losses, weight=0, **kwargs):
        teacher = build(student, seed=1)
        teacher.init_weights()
        ckpt = str(tmp_path / 'teacher.pth')
        torch.save(dict(state_dict=teacher.state_dict()), ckpt)
        kwargs = dict(distill_losses=losses, own_loss_weight=weight, **kwargs)
        model = distiller(student, student, ckpt, **kwargs)
        model.init_weights()
        model.train()
        for module in model.modules():
            if any(name in type(module).__name__ for name in CHANCE):
                module.eval()
        return model

    return make


def without_labels(batch):
    batch = copy.deepcopy(batch)
    for sample in batch['data_samples']:
        if 'gt_label' in sample:
            del sample.gt_label
        else:
            sample.gt_instances = sample.gt_instances[:0]
    return batch


MODELS = [
    (classifier(), image_batch, dict(loss_kd=KD, loss_dkd=DKD)),
    (faster_rcnn(), detection_batch, dict(loss_kd=KD, loss_box=BOX, loss_rpn=RPN)),
    (mask_rcnn(), lambda: detection_batch(masks=True), dict(loss_kd=KD, loss_dkd=DKD)),
    (dense('retinanet'), detection_batch, dict(loss_kd=KD, loss_box=BOX)),
    (dense('fcos'), detection_batch, dict(loss_dkd=DKD, loss_box=BOX, loss_q=RPN)),
    (detr('deformable'), detection_batch, dict(loss_dkd=DKD, loss_box=BOX)),
    (detr('dino'), detection_batch, dict(loss_kd=KD, loss_box=BOX)),
]


@pytest.mark.parametrize(('student', 'batch_of', 'losses'), MODELS)
def test_the_teacher_alone_teaches(student, batch_of, losses, make):
    """Every gradient is of a distillation loss, and every parameter has one."""
    model = make(student, losses)
    data = model.data_preprocessor(without_labels(batch_of()), True)
    total, log = model.parse_losses(model.loss(**data))
    assert all(log[name] > 0 for name in losses), log
    torch.testing.assert_close(total, sum(log[name] for name in losses))
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None or not parameter.requires_grad, name
    assert model.student.backbone.conv1.weight.grad.abs().sum() > 0


def test_labels_that_are_there_do_not_count(make):
    """Not in the student's losses, nor as the class of a row."""
    model = make(classifier(), dict(loss_dkd=DKD))
    batch = image_batch()
    labelled = model.loss(**model.data_preprocessor(copy.deepcopy(batch), True))
    data = model.data_preprocessor(without_labels(batch), True)
    unlabelled = model.loss(**data)
    assert torch.equal(labelled['loss_dkd'], unlabelled['loss_dkd'])
    assert labelled['loss_cls'] == unlabelled['loss_cls'] == 0
    rows, preds_T = model.look(**data)
    assert torch.equal(rows.labels, preds_T.argmax(dim=1))


def test_boxes_of_rois_are_of_the_class_that_the_teacher_sees(make):
    """Of a Faster R-CNN each class has a box of its own."""
    model = make(faster_rcnn(), dict(loss_kd=KD, loss_box=BOX))
    data = model.data_preprocessor(without_labels(detection_batch()), True)
    with torch.no_grad():  # so that it sees a class here, background there
        weight = model.teachers[0].model.roi_head.bbox_head.fc_cls.weight
        weight.copy_(1e4 * weight[[0, 3, 2, 1]])
    calls = []
    model.student.roi_head.bbox_head.register_forward_hook(
        lambda m, args, output: calls.append(output)
    )
    rows, preds_T = model.look(**data)
    classes = preds_T.argmax(dim=1)
    assert 0 < (classes < 3).sum() < len(classes)  # of random weights, of all kinds
    for row, (cls, boxes) in enumerate(zip(classes, calls[0][1])):
        own = boxes[4 * cls : 4 * cls + 4] if cls < 3 else torch.zeros(4)
        torch.testing.assert_close(rows.deltas[row], own)


def test_weight_of_the_own_losses(make):
    """Half of it is half of each, and accuracies stay what they are."""
    for student, batch_of, losses in MODELS[:2]:
        whole = []
        for weight in (1, 0.5):
            model = make(student, losses, weight)
            torch.manual_seed(0)
            data = model.data_preprocessor(batch_of(), True)
            whole.append(model.parse_losses(model.loss(**data))[1])
        for name in set(whole[0]) - {'loss'}:
            own = 'loss' in name and name not in losses
            expected = whole[0][name] * (0.5 if own else 1)
            torch.testing.assert_close(whole[1][name], expected, msg=name)


def test_what_stays_as_it_starts_is_told(make, monkeypatch):
    told = []
    monkeypatch.setattr(own_loss, 'print_log', lambda text, **kwargs: told.append(text))
    make(faster_rcnn(), dict(loss_kd=KD))
    assert '(logits). All else (deltas, objectness, boxes of an RPN' in told[0]


@pytest.mark.parametrize('stop', ['stop_epoch', 'stop_iter'])
def test_an_end_after_which_nothing_teaches(stop, make):
    with pytest.raises(ValueError, match=f'model.{stop}=3: with model.own_loss_w'):
        make(classifier(), dict(loss_kd=KD), **{stop: 3})


@pytest.mark.parametrize(
    ('weight', 'message'), [(-1, '=-1 must be'), ('0', "='0' must be"), (True, '=True')]
)
def test_wrong_weights(weight, message, make):
    with pytest.raises((TypeError, ValueError), match=f'own_loss_weight{message}'):
        make(classifier(), dict(loss_kd=KD), weight)


def test_a_folder_of_images_without_labels(tmp_path):
    """mmpretrain's data set with_label=False, as it is."""
    image_folder(tmp_path / 'images')
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth', seed=1)
    model = distilled(classifier(), classifier(), ckpt, own_loss_weight=0)
    cfg = Config(classification_run(model, tmp_path / 'images', tmp_path / 'run'))
    cfg.train_dataloader.dataset.with_label = False
    runner = Runner.from_cfg(cfg)
    before = runner.model.student.backbone.conv1.weight.clone()
    runner.train()
    assert not torch.equal(runner.model.student.backbone.conv1.weight, before)


def test_boxes_that_nobody_has_drawn(tmp_path):
    """A file in COCO's format without annotations, joined with one that has some."""
    coco_set(tmp_path / 'data')
    file = next((tmp_path / 'data').glob('**/*.json'))
    content = mmengine.load(file)
    mmengine.dump(dict(content, annotations=[]), str(file.with_name('none.json')))
    ckpt = save_weights(faster_rcnn(), tmp_path / 'teacher.pth', seed=1)
    losses = dict(loss_kd=KD, loss_box=BOX, loss_rpn=RPN)
    model = distilled(faster_rcnn(), faster_rcnn(), ckpt, own_loss_weight=0)
    model['distill_losses'] = losses
    cfg = Config(detection_run(model, tmp_path / 'data', tmp_path / 'run'))
    labelled = cfg.train_dataloader.dataset
    unlabelled = copy.deepcopy(labelled)
    unlabelled.ann_file = labelled.ann_file.replace(file.name, 'none.json')
    unlabelled.filter_cfg = dict(filter_empty_gt=False)
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[labelled, unlabelled]
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    weights = torch.load(tmp_path / 'run' / 'epoch_2.pth')['state_dict']
    assert all(weight.isfinite().all() for weight in weights.values())


@pytest.mark.parametrize(
    ('student', 'losses'),
    [
        (faster_rcnn(), dict(loss_kd=KD, loss_box=BOX)),
        (dense('retinanet'), dict(loss_kd=KD)),
        (detr('deformable'), dict(loss_kd=KD)),
    ],
)
def test_detectors_whose_pipeline_loads_no_annotations(student, losses, make):
    """Their samples have instances without boxes or labels, or none at all."""
    model = make(student, losses)
    for instances in (InstanceData(), None):
        batch = detection_batch()
        for sample in batch['data_samples']:
            del sample.gt_instances
            if instances is not None:
                sample.gt_instances = instances
        out = model.loss(**model.data_preprocessor(batch, True))
        assert all(out[name] > 0 for name in losses)
        assert not any(name.startswith('acc') for name in out)


def test_an_unknown_classifier_is_proven_without_labels(make, monkeypatch):
    told = []
    monkeypatch.setattr(proof, 'proven_families', frozenset)
    monkeypatch.setattr(proof, '_warn', told.append)
    model = make(classifier(), dict(loss_kd=KD))
    model.loss(**model.data_preprocessor(without_labels(image_batch()), True))
    assert len(told) == 2 and all('has nothing to learn' in text for text in told)


@pytest.mark.parametrize(
    ('student', 'loss', 'kwargs', 'message'),
    [
        (
            classifier(),
            dict(type='luminet_mm.CRDLoss', num_samples=16),
            {},
            'loss_x, CRDLoss, looks at the classes of the ground truth',
        ),
        (
            faster_rcnn(),
            dict(type='luminet_mm.FGDLoss'),
            {},
            'loss_x, FGDLoss, looks at the boxes of the ground truth',
        ),
        (
            dense('retinanet'),
            KD,
            dict(source=dict(type='DenseSource', rows='assigned')),
            "model.source.rows='assigned' takes the priors of the ground truth",
        ),
    ],
)
def test_what_looks_at_labels_is_refused(student, loss, kwargs, message, make):
    with pytest.raises(ValueError, match=f'model.own_loss_weight=0: .*{message}'):
        make(student, dict(loss_x=loss), **kwargs)
