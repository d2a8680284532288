"""How models are built from a config, whose pixels they get, where they start."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from mmpretrain.models import LinearClsHead
from tiny import (
    build,
    classification_run,
    classifier,
    detection_batch,
    distilled,
    distiller,
    faster_rcnn,
    image_batch,
    save_weights,
)

from luminet_mm.distillers import proof
from luminet_mm.distillers.pixels import describe_pixels
from luminet_mm.registry import MODELS

CAFFE = dict(mean=[100.0, 110.0, 120.0], std=[2.0] * 3, to_rgb=False)
RUNS = dict(mean=[1.0, 2.0, 3.0], std=[50.0] * 3, to_rgb=True, num_classes=5)


@pytest.fixture
def log(monkeypatch):
    """What the distillers tell."""
    lines = []
    for module in ('base_distiller', 'logit_distiller', 'teacher', 'proof'):
        monkeypatch.setattr(
            f'luminet_mm.distillers.{module}.print_log',
            lambda text, **_: lines.append(text),
        )
    return lines


def split(cfg):
    """A classifier's config without its preprocessor, and that."""
    cfg = copy.deepcopy(cfg)
    return cfg, cfg.pop('data_preprocessor')


def file_of(cfg, path, **others):
    """A config file as mmpretrain's, its preprocessor at the top."""
    cfg, pixels = split(cfg)
    whole = dict(model=cfg, data_preprocessor=pixels, default_scope='mmpretrain')
    cfg.pop('_scope_')
    Config({**whole, **others}).dump(path)
    return dict(cfg_path=str(path))


def make(tmp_path, student, teacher, full=None, **kwargs):
    ckpt = save_weights(full or classifier(), tmp_path / 'teacher.pth', seed=3)
    return distiller(student, teacher, ckpt, **kwargs)


def test_runs_pixels_come_before_the_files(tmp_path, log):
    """For the student, whose file says otherwise; the teacher's file has its own."""
    student = file_of(classifier(), tmp_path / 'student.py')
    teacher = file_of(classifier(data_preprocessor=CAFFE), tmp_path / 'teacher.py')
    model = make(tmp_path, student, teacher, data_preprocessor=RUNS)
    model.init_weights()
    assert model.data_preprocessor.mean.flatten().tolist() == RUNS['mean']
    assert model.student.data_preprocessor is model.data_preprocessor
    pixels = model.teachers[0].model.data_preprocessor
    assert pixels.mean.flatten().tolist() == CAFFE['mean']
    (table,) = log
    assert describe_pixels(pixels) + ', by its own config' in table
    assert (
        'channels flipped, mean [1.0, 2.0, 3.0], std [50.0, 50.0, 50.0], padded to '
        "multiples of 1 with 0, by the run's data_preprocessor"
    ) in table


def test_two_settings_of_pixels_are_refused(tmp_path):
    """Neither a setting beside `cfg_path` nor the run's is dropped without a word."""
    student = file_of(classifier(), tmp_path / 'student.py')
    with pytest.raises(
        ValueError, match='data_preprocessor=.*100.0.* differ, and only'
    ):
        make(
            tmp_path,
            dict(student, data_preprocessor=CAFFE),
            classifier(),
            data_preprocessor=RUNS,
        )
    _, same = split(classifier())
    for cfg in (dict(student, data_preprocessor=same), classifier()):
        model = make(tmp_path, cfg, classifier(), data_preprocessor=same)
        mean = torch.tensor(same['mean'])
        assert torch.equal(model.data_preprocessor.mean.flatten(), mean)


def test_teacher_without_pixels_gets_the_runs(tmp_path):
    plain, pixels = split(classifier())
    model = make(tmp_path, classifier(), plain, data_preprocessor=pixels)
    model.init_weights()
    data = model.data_preprocessor(image_batch(), True)
    teacher = model.teachers[0]
    assert teacher.prepare_inputs(**data) is data['inputs']


def test_teacher_without_any_pixels_is_refused(tmp_path):
    plain, _ = split(classifier())
    model = make(tmp_path, classifier(), plain)
    with pytest.raises(ValueError, match='model.teacher has no data_preprocessor'):
        model.init_weights()
    model = make(tmp_path, plain, plain)  # raw for both, as they were trained
    model.init_weights()


def test_teacher_that_was_trained_on_raw_pixels(tmp_path):
    """As YOLOX: a preprocessor that does not normalise is a preprocessor."""
    plain, _ = split(classifier())
    raw = dict(plain, data_preprocessor=dict(type='ClsDataPreprocessor', to_rgb=True))
    model = make(tmp_path, classifier(), raw)
    model.init_weights()
    data = model.data_preprocessor(image_batch(), True)
    seen = model.teachers[0].prepare_inputs(**data)
    pixels = torch.stack(image_batch()['inputs']).flip(1).float()
    torch.testing.assert_close(seen, pixels, rtol=1e-4, atol=1e-3)


def test_peer_without_any_pixels_is_refused():
    plain, pixels = split(classifier())
    cfg = dict(
        type='luminet_mm.MutualDistiller',
        student=classifier(),
        peers=plain,
        distill_losses=dict(loss_x=dict(type='luminet_mm.KDLoss')),
    )
    init_default_scope('mmpretrain')
    with pytest.raises(ValueError, match=r'model.peers\[0\] has no data_preprocessor'):
        MODELS.build(cfg)
    MODELS.build(dict(cfg, data_preprocessor=pixels))


@pytest.mark.parametrize('name', ['student', 'teacher'])
@pytest.mark.parametrize('std', [0.0, -1.0, float('nan')])
def test_wrong_std(name, std, tmp_path):
    models = dict(student=classifier(), teacher=classifier())
    models[name]['data_preprocessor']['std'] = [58.0, std, 58.0]
    model = make(tmp_path, models['student'], models['teacher'])
    message = rf'model.{name}.data_preprocessor.std=.*{std}.* must be finite and above'
    with pytest.raises(ValueError, match=message):
        model.init_weights()


def test_students_own_load_from(tmp_path, log):
    """A run of the student's file starts from there, so its distillation does."""
    ckpt = save_weights(classifier(), tmp_path / 'start.pth', seed=7)
    student = file_of(classifier(), tmp_path / 'student.py', load_from=ckpt)
    model = make(tmp_path, student, classifier())
    model.init_weights()
    for name, value in torch.load(ckpt)['state_dict'].items():
        assert torch.equal(model.state_dict()[name], value), name
    assert f'starts from {ckpt} (all of it)' in log[-1]


def test_frozen_student(tmp_path):
    frozen = dict(frozen_stages=4, norm_cfg=dict(type='BN', requires_grad=False))
    model = make(tmp_path, classifier(backbone=frozen), classifier())
    model.init_weights()
    model.student.head.requires_grad_(False)
    model._is_init = False
    with pytest.raises(ValueError, match='model.student has no parameter that is trai'):
        model.init_weights()


@pytest.mark.parametrize(
    ('part', 'message'),
    [
        (dict(backbone=dict(dept=18)), "model.student.backbone.dept=18: .* 'depth'"),
        (
            dict(heads=dict(type='ClsHead')),
            r"model.student.heads=.*did you mean 'head'",
        ),
        (
            dict(head=dict(loss=dict(loss_wieght=2.0))),
            "model.student.head.loss.loss_wieght=2.0: .* did you mean 'loss_weight'",
        ),
    ],
)
def test_misspelt_setting_of_a_model(part, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make(tmp_path, classifier(**part), classifier())


def test_forgotten_delete(tmp_path):
    """What is left of the base config's model is named, with the remedy."""
    loss = dict(type='luminet_mm.KDLoss', eps=1e-5, sync_stats=True)
    with pytest.raises(ValueError, match="loss_x has no setting 'eps'.* _delete_=True"):
        make(tmp_path, classifier(), classifier(), distill_losses=dict(loss_x=loss))
    with pytest.raises(ValueError, match="model has no setting 'backbone'.* _delete_="):
        make(tmp_path, classifier(), classifier(), backbone=dict(type='ResNet'))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(techer=1), "model has no setting 'techer', did you mean 'teacher'"),
        (
            dict(distill_losses=[dict(type='KDLoss')]),
            r'model.distill_losses=\[.*a dict',
        ),
        (
            dict(distill_losses=None),
            'model.distill_losses=None must be a dict of named',
        ),
        (dict(distill_losses=dict(loss_x='KDLoss')), "loss_x='KDLoss' must be a dict"),
        (
            dict(source='ClassifierSource'),
            "model.source='ClassifierSource' must be a d",
        ),
        (
            dict(source=dict(type='DenseSource', nun_rows=3)),
            "model.source has no setting 'nun_rows', did you mean 'num_rows'",
        ),
        (
            dict(warmup='5'),
            "model.warmup='5' must be an integer of at least 0; it is a",
        ),
        (dict(warmup=float('nan')), 'model.warmup=nan must be an integer'),
        (
            dict(warmup_by_epoch='False'),
            "model.warmup_by_epoch='False' must be True or",
        ),
        (
            dict(accelerate_teacher=1),
            'model.accelerate_teacher=1 must be True or False',
        ),
        (
            dict(compile_teacher='yes'),
            "model.compile_teacher='yes' must be True or False",
        ),
        (dict(teacher=None), 'model.teacher=None must be a dict'),
        (dict(teacher=[]), 'model.teacher names 0 teachers'),
        (dict(teacher=['a.py']), "model.teacher='a.py' must be a dict with `cfg_path`"),
        (dict(teacher_ckpt=5), 'model.teacher_ckpt=5 must be a path'),
        (dict(student=None), 'model.student must be a dict'),
    ],
)
def test_wrong_containers(kwargs, message):
    cfg = distilled(classifier(), classifier(), 'teacher.pth')
    with pytest.raises((TypeError, ValueError), match=message):
        MODELS.build({**cfg, **kwargs})


@pytest.mark.parametrize(
    'loss', ['ChannelWiseDivergence', 'FBKDLoss', 'OFDLoss', 'ABLoss', 'AngleWiseRKD']
)
def test_loss_of_features_named_as_one_of_rows(loss, tmp_path):
    """Compares rows, or one error in the first iteration says that it cannot."""
    losses = dict(loss_x=dict(type=f'mmrazor.{loss}'))
    try:
        model = make(tmp_path, classifier(), classifier(), distill_losses=losses)
        model.init_weights()
        out = model.loss(**model.data_preprocessor(image_batch(), True))
    except ValueError as error:
        assert str(error).startswith('model.distill_losses.loss_x: ')
        assert loss in str(error)
    else:
        assert out['loss_x'].isfinite()


def test_error_while_a_teacher_is_built_is_told_as_it_is(tmp_path):
    """An AttributeError in a property would be told as that of another attribute."""
    model = make(tmp_path, classifier(), classifier())

    def broken(*args):
        raise AttributeError("'NoneType' object has no attribute 'group'")

    model._check_family = broken
    with pytest.raises(AttributeError, match='NoneType.*group'):
        model.init_weights()


def test_total_is_logged_beside_the_students_own(tmp_path):
    model = make(tmp_path, classifier(), classifier())
    model.init_weights()
    losses = model.loss(**model.data_preprocessor(image_batch(), True))
    total, log = model.parse_losses(losses)
    assert set(log) == {'loss', 'loss_cls', 'loss_luminet', 'loss_kd'}
    torch.testing.assert_close(
        log['loss'], sum(v for k, v in log.items() if k != 'loss')
    )
    assert log['loss'] == total


def test_no_ground_truth(tmp_path, log):
    """As where class names are misspelt: distillation alone would hide it."""
    ckpt = save_weights(faster_rcnn(), tmp_path / 't.pth')
    model = distiller(faster_rcnn(), faster_rcnn(), ckpt)
    model.init_weights()
    for found in (0, 1):
        batch = detection_batch()
        batch['data_samples'][0].gt_instances = batch['data_samples'][0].gt_instances[
            :0
        ]
        if not found:
            other = batch['data_samples'][1]
            other.gt_instances = other.gt_instances[:0]
        model._is_first = True
        log.clear()
        model.loss(**model.data_preprocessor(batch, True))
        assert any('no ground truth' in line for line in log) == (not found)


def test_teacher_of_other_class_names(tmp_path, log):
    """As many, but none in common: worth a word, since nobody sees it later."""
    ckpt = save_weights(
        classifier(), tmp_path / 't.pth', dataset_meta=dict(classes=list('vwxyz'))
    )
    cfg = classification_run(
        distilled(classifier(), classifier(), ckpt), tmp_path, tmp_path / 'run'
    )
    Runner.from_cfg(Config(cfg)).train()
    (warning,) = (line for line in log if 'none has the same name' in line)
    assert "'v'" in warning and "'class0'" in warning


@MODELS.register_module(force=True)
class OddHead(LinearClsHead):
    """Predicts something else each time, as no teacher may."""

    def forward(self, feats):
        self.calls = getattr(self, 'calls', 0) + 1
        return super().forward(feats) * self.calls


@MODELS.register_module(force=True)
class NewHead(LinearClsHead):
    """Of nobody's zoo, and right."""


@pytest.mark.parametrize('head', ['OddHead', 'NewHead'])
def test_unknown_head_is_tried(head, tmp_path, log):
    cfg = classifier(head=dict(type=f'luminet_mm.{head}'))
    model = make(tmp_path, cfg, classifier())
    model.init_weights()
    data = model.data_preprocessor(image_batch(), True)
    state = copy.deepcopy(model.state_dict())
    seed = torch.get_rng_state()
    if head == 'OddHead':
        with pytest.raises(
            ValueError, match='OddHead.*does not predict the same logits'
        ):
            model.loss(**data)
        return
    proof.prove(model.source, model.student, 'model.student', **data)
    assert torch.equal(seed, torch.get_rng_state())
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    for _ in range(2):
        model.loss(**data)
    warnings = [line for line in log if 'NewHead' in line and 'as its own' in line]
    assert len(warnings) == 2  # by hand, and in the first of two iterations


def test_trying_a_model_never_runs_the_trained_one(tmp_path, log):
    """Checkpointed parts have closures, which a copy shares."""
    model = make(tmp_path, classifier(), classifier()).student.train()
    turn_on_activation_checkpointing(model, ['backbone'])
    source = distiller(classifier(), classifier(), 'teacher.pth').source
    before = copy.deepcopy(model.state_dict())
    ran = set()
    model.backbone.conv1.register_forward_hook(lambda module, *_: ran.add(id(module)))
    data = model.data_preprocessor(image_batch(), True)
    proof.prove(source, model, 'model.student', **data)
    assert ran and id(model.backbone.conv1) not in ran
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_every_model_of_these_tests_is_proven():
    for cfg, batch in (
        (classifier(), image_batch()),
        (faster_rcnn(), detection_batch()),
    ):
        model = build(cfg).train()
        source = distiller(cfg, cfg, 'teacher.pth').source
        assert proof.is_proven(source, model)
        proof.prove(
            source, model, 'model.student', **model.data_preprocessor(batch, True)
        )
