"""Each wrong input gives one error that names the key, the value and the cure."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tiny import (
    cascade_rcnn,
    classification_run,
    classifier,
    detection_run,
    distilled,
    distiller,
    faster_rcnn,
    save_weights,
)

from luminet_mm.registry import MODELS

LUMINET = dict(type='luminet_mm.LuminetLoss')


def make(student=None, teacher=None, ckpt='teacher.pth', **kwargs):
    return distiller(student or classifier(), teacher or classifier(), ckpt, **kwargs)


def test_valid(tmp_path):
    """What the others change one thing of."""
    make(ckpt=save_weights(classifier(), tmp_path / 't.pth')).init_weights()


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (
            dict(distill_losses=dict(loss_x=dict(type='luminet_mm.NoSuchLoss'))),
            r"model.distill_losses.loss_x.type='luminet_mm.NoSuchLoss' is not a regis",
        ),
        (
            dict(distill_losses=dict(loss_x=dict(type='mmrazor.OnehotLikeLoss'))),
            'model.distill_losses.loss_x: OnehotLikeLoss.forward.* cannot be called',
        ),
        (
            dict(distill_losses=dict(luminet=LUMINET)),
            "model.distill_losses.luminet: the name must contain 'loss'",
        ),
        (dict(distill_losses={}), 'model.distill_losses is empty'),
        (
            dict(distill_losses=dict(loss_x=dict(LUMINET, loss_weight=-1))),
            'loss_weight=-1 must be a finite number of at least 0',
        ),
        (
            dict(distill_losses=dict(loss_x=dict(LUMINET, tau=0))),
            'tau=0 must be a finite number above 0',
        ),
        (
            dict(distill_losses=dict(loss_box=dict(type='luminet_mm.BoxLoss'))),
            'model.distill_losses.loss_box: BoxLoss compares deltas, and a '
            'ImageClassifier is compared by its logits only',
        ),
        (dict(warmup=-1), 'model.warmup=-1 must be an integer of at least 0'),
        (
            dict(source=dict(type='OneStageSource')),
            r"model.source.type='OneStageSource' is unknown, the families are "
            r"\['ClassifierSource', 'DenseSource', 'QuerySource', 'TwoStageSource'\]",
        ),
        (
            dict(source=dict(type='TwoStageSource')),
            "model.source.type='TwoStageSource' does not fit .* a ImageClassifier",
        ),
        (dict(student=dict(depth=3)), 'model.student has neither `cfg_path` nor'),
        (
            dict(student=dict(cfg_path='no/such/config.py')),
            "model.student.cfg_path='no/such/config.py': no such file",
        ),
        (
            dict(student=dict(cfg_path='mmdet::no/such.py')),
            "model.student.cfg_path='mmdet::no/such.py': mmdet has no such config",
        ),
        (
            dict(student=dict(cfg_path='mmnothing::x.py')),
            "the package 'mmnothing' is not installed",
        ),
        (
            dict(ckpt=['a.pth', 'b.pth']),
            'names 1 teachers and model.teacher_ckpt 2 checkpoints',
        ),
        (
            dict(
                student=dict(
                    cfg_path='mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'
                )
            ),
            'model.student is a Mask2Former, which none of .* its queries are',
        ),
        (
            dict(
                student=dict(
                    cfg_path='mmdet::sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py'
                )
            ),
            'model.student is a SparseRCNN, which none of .* its queries are boxes',
        ),
    ],
)
def test_wrong_config(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


def test_student_that_is_no_dict():
    cfg = distilled('resnet18', classifier(), 'teacher.pth')
    with pytest.raises(TypeError, match="model.student must be a dict .* 'resnet18'"):
        MODELS.build(cfg)


@pytest.mark.parametrize('kind', ['missing', 'unset', 'corrupt', 'partial', 'no_dict'])
def test_wrong_checkpoint(kind, tmp_path):
    path = tmp_path / 'teacher.pth'
    save_weights(classifier(), path)
    ckpt = str(path)
    if kind == 'missing':
        ckpt, message = 'nowhere.pth', "model.teacher_ckpt='nowhere.pth': no such file"
    elif kind == 'unset':
        ckpt, message = None, 'model.teacher_ckpt is not set, .* teaches noise'
    elif kind == 'corrupt':
        path.write_bytes(path.read_bytes()[:1000])
        message = 'cannot be read'
    elif kind == 'partial':
        state = torch.load(path)['state_dict']
        del state['head.fc.weight']
        torch.save(dict(state_dict=state), path)
        message = r'does not fit model.teacher=(.|\n)*missing keys.*head.fc.weight'
    else:
        torch.save([1, 2], path)
        message = 'holds a list, not a dict of weights'
    with pytest.raises(ValueError, match=message):
        make(ckpt=ckpt).init_weights()


def test_checkpoint_of_another_model(tmp_path):
    """Fits partly: other shapes, other names."""
    ckpt = save_weights(classifier(num_classes=7), tmp_path / 'teacher.pth')
    with pytest.raises(ValueError, match=r'does not fit(.|\n)*size mismatch.*head.fc'):
        make(ckpt=ckpt).init_weights()
    ckpt = save_weights(faster_rcnn(), tmp_path / 'teacher.pth')
    with pytest.raises(
        ValueError, match=r'does not fit(.|\n)*(unexpected key|size mismatch)'
    ):
        make(ckpt=ckpt).init_weights()


def test_class_counts_differ(tmp_path):
    other = classifier(num_classes=7)
    ckpt = save_weights(other, tmp_path / 'teacher.pth')
    with pytest.raises(ValueError, match='student classifies 5 .* teacher 7'):
        make(teacher=other, ckpt=ckpt).init_weights()

    other = faster_rcnn(num_classes=4)
    ckpt = save_weights(other, tmp_path / 'teacher.pth')
    with pytest.raises(ValueError, match='student detects 3 classes .* teacher 4'):
        make(faster_rcnn(), other, ckpt).init_weights()


def test_families_differ(tmp_path):
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    with pytest.raises(ValueError, match='ImageClassifier, which cannot teach a Faste'):
        make(faster_rcnn(), classifier(), ckpt).init_weights()


def test_logits_of_another_form(tmp_path):
    """Seesaw's head has columns for "object or not" beside those of the classes."""
    seesaw = dict(_delete_=True, type='SeesawLoss', num_classes=3)
    other = faster_rcnn(roi_head=dict(bbox_head=dict(loss_cls=seesaw)))
    ckpt = save_weights(other, tmp_path / 'teacher.pth')
    message = 'model.teacher.roi_head.bbox_head.loss_cls is a SeesawLoss, whose logits'
    with pytest.raises(ValueError, match=message):
        make(faster_rcnn(), other, ckpt).init_weights()


def test_no_such_stage(tmp_path):
    ckpt = save_weights(cascade_rcnn(), tmp_path / 'teacher.pth')
    source = dict(type='TwoStageSource', teacher_stage=3)
    message = 'model.source.teacher_stage=3: the teacher has the stages 0 to 2'
    with pytest.raises(ValueError, match=message):
        make(faster_rcnn(), cascade_rcnn(), ckpt, source=source).init_weights()


def train(cfg):
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    return runner


@pytest.mark.parametrize('key', ['classes', 'CLASSES'])
def test_class_order_differs(key, tmp_path):
    """The names in the teacher's checkpoint against those of the data set."""
    names = ('a', 'c', 'b')
    meta = dict(dataset_meta=dict(classes=names)) if key == 'classes' else {key: names}
    ckpt = save_weights(faster_rcnn(), tmp_path / 'teacher.pth', **meta)
    model = distilled(faster_rcnn(), faster_rcnn(), ckpt)
    message = "class 'c' is number 1 for the teacher .* but number 2 in the training"
    with pytest.raises(ValueError, match=message):
        train(detection_run(model, tmp_path, tmp_path / 'run'))
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_number_of_classes_in_the_checkpoint_differs(tmp_path):
    meta = dict(dataset_meta=dict(classes=('a', 'b')))
    ckpt = save_weights(faster_rcnn(), tmp_path / 'teacher.pth', **meta)
    model = distilled(faster_rcnn(), faster_rcnn(), ckpt)
    with pytest.raises(ValueError, match='trained on 2 classes, the training .* has 3'):
        train(detection_run(model, tmp_path, tmp_path / 'run'))


@pytest.mark.parametrize('by_epoch', [True, False])
def test_warmup_longer_than_the_run(by_epoch, tmp_path, monkeypatch):
    """Is shortened to half of the run, and said."""
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    model = distilled(
        classifier(), classifier(), ckpt, warmup=9, warmup_by_epoch=by_epoch
    )
    cfg = classification_run(model, tmp_path, tmp_path / 'run')
    if by_epoch:
        cfg['train_cfg'] = dict(by_epoch=True, max_epochs=4)
    else:
        cfg['train_cfg'] = dict(by_epoch=False, max_iters=4)
        cfg['train_dataloader']['sampler']['type'] = 'InfiniteSampler'
    log = []
    monkeypatch.setattr(
        'luminet_mm.distillers.base_distiller.print_log',
        lambda text, **_: log.append(text),
    )
    assert train(cfg).model.warmup == 2
    (warning,) = log
    unit = 'epochs' if by_epoch else 'iters'
    assert f'model.warmup=9 is longer than the run of 4 {unit}' in warning


@pytest.mark.parametrize(('own', 'named'), [('loss', 'the total'), ('loss_cls', 'own')])
def test_name_of_the_students_own_loss(own, named, tmp_path):
    ckpt = save_weights(classifier(), tmp_path / 'teacher.pth')
    model = distilled(classifier(), classifier(), ckpt)
    model['distill_losses'] = {own: LUMINET}
    with pytest.raises(ValueError, match=named):
        train(classification_run(model, tmp_path, tmp_path / 'run'))
