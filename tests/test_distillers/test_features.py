"""Losses of features in the distiller: taps, connectors, precision, resuming."""

import copy
import os
import re
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.logging import MessageHub
from mmengine.model import ExponentialMovingAverage, MMDistributedDataParallel
from mmengine.runner import Runner, load_checkpoint
from tiny import (
    build,
    classification_run,
    classifier,
    dense,
    detection_batch,
    detection_run,
    detr,
    distilled,
    distiller,
    faster_rcnn,
    image_batch,
    merged,
    save_weights,
    vit,
)

from luminet_mm.losses import at_loss
from luminet_mm.losses.features.map_loss import crop_to_smaller
from luminet_mm.registry import MODELS

FITNET = dict(type='luminet_mm.FitNetLoss', layers=[('backbone.layer2',) * 2])
PKD = dict(type='luminet_mm.PKDLoss')
AT = dict(type='luminet_mm.ATLoss')


KD = dict(type='luminet_mm.KDLoss')


def retinanet():
    """With as many channels in its neck as the Faster R-CNN."""
    return dense(
        'retinanet', neck=dict(out_channels=16), bbox_head=dict(in_channels=16)
    )


def step(model, batch):
    return model.loss(**model.data_preprocessor(batch, True))


def taught(tmp_path, losses, student=None, teacher=None, **kwargs):
    student = student or classifier()
    teacher = teacher or student
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth', seed=1)
    losses = {f'loss_{i}': loss for i, loss in enumerate(losses)}
    return distiller(student, teacher, ckpt, distill_losses=losses, **kwargs)


def has_norms(model):
    return any(isinstance(m, torch.nn.BatchNorm2d) for m in model.backbone.modules())


def wide(**overrides):
    return classifier(
        backbone=dict(base_channels=16), head=dict(in_channels=128), **overrides
    )


OWN = dict(
    classifier=(classifier, image_batch, [AT, dict(type='luminet_mm.RKDLoss')]),
    faster_rcnn=(faster_rcnn, detection_batch, [PKD, dict(type='luminet_mm.CWDLoss')]),
    retinanet=(lambda: dense('retinanet'), detection_batch, [PKD]),
)


@pytest.mark.parametrize('family', OWN)
@pytest.mark.parametrize('with_logits', [False, True])
def test_own_weights_give_exactly_zero(family, with_logits, tmp_path):
    make, batch, losses = OWN[family]
    losses = losses + [dict(type='luminet_mm.KDLoss')] * with_logits
    model = taught(tmp_path, losses, make())
    model.load_state_dict(torch.load(tmp_path / 'teacher.pth')['state_dict'])
    model.student.eval()
    values = step(model, batch())
    assert [values[name] for name in model.distill_losses] == [0] * len(losses)
    model = taught(tmp_path, losses, make())
    values = step(model, batch())
    assert all(values[name] > 0 for name in model.distill_losses)


def test_features_are_those_of_both_models(tmp_path):
    """Against hooks of our own, at places that in-place ReLUs overwrite."""
    model = taught(
        tmp_path,
        [dict(AT, layers=[('preactivations', 'preactivations'), ('stages',) * 2])],
    )
    data = model.data_preprocessor(image_batch(), True)
    seen = []

    def record(module, args):
        seen.append(args[0].clone())

    for layer in ('layer1', 'layer4'):
        relu = getattr(model.student.backbone, layer)[-1].relu
        relu.register_forward_pre_hook(record)
    _, rows, taught_rows = model._learn(**data)
    before, after = rows.features['preactivations'], rows.features['stages']
    assert len(before) == len(after) == 4
    assert torch.equal(before[0], seen[-3]) and torch.equal(before[3], seen[-1])
    assert before[0].min() < 0 and after[0].min() == 0
    for left, right in zip(before, after):
        assert torch.equal(left.relu(), right)
    teacher = model.teachers[0].model
    own = teacher.backbone.layer1(
        teacher.backbone.relu(
            teacher.backbone.norm1(teacher.backbone.conv1(data['inputs']))
        )
    )
    torch.testing.assert_close(taught_rows.features['stages'][0], own)
    _, again, _ = model._learn(**data)  # now copies only where they are needed
    assert torch.equal(
        again.features['preactivations'][3].relu(), again.features['stages'][3]
    )


def test_what_is_overwritten_later_on_is_not_trained_on(tmp_path):
    model = taught(tmp_path, [dict(AT, layers=[('backbone.layer2',) * 2])])
    step(model, image_batch())  # which finds that nothing has to be copied

    def overwrite(module, args):
        args[0].detach().add_(1)

    model.student.backbone.layer3.register_forward_pre_hook(overwrite)
    with pytest.raises(
        RuntimeError, match=r'backbone\.layer2 were overwritten.*layers'
    ):
        step(model, image_batch())


def test_gradient_reaches_student_and_connector_alone(tmp_path):
    model = taught(tmp_path, [FITNET], classifier(), wide())
    loss = step(model, image_batch())['loss_0']
    loss.backward()
    backbone = model.student.backbone
    assert backbone.layer2[0].conv1.weight.grad.any()
    assert backbone.layer3[0].conv1.weight.grad is None
    assert all(p.grad.any() for p in model.distill_losses.parameters() if p.dim() > 1)
    assert all(p.grad is None for p in model.teachers[0].model.parameters())


def test_accelerated_teacher_has_the_same_features(tmp_path):
    losses = [dict(AT, layers=[('preactivations',) * 2, ('stages',) * 2])]
    values = []
    for fast in (False, True):
        model = taught(tmp_path, losses, accelerate_teacher=fast)
        torch.manual_seed(0)
        model.init_weights()
        values.append(step(model, image_batch())['loss_0'])
        assert has_norms(model.teachers[0].model) != fast
    torch.testing.assert_close(*values, rtol=1e-4, atol=0)


def test_tap_on_what_is_folded_keeps_the_teacher_as_it_is(tmp_path, caplog):
    """A convolution gives something else when its BN is folded into it."""
    place = 'backbone.layer2.0.conv1'
    model = taught(
        tmp_path, [dict(AT, layers=[(place, place)])], accelerate_teacher=True
    )
    plain = taught(tmp_path, [dict(AT, layers=[(place, place)])])
    plain.load_state_dict(model.state_dict())
    values = [step(each, image_batch())['loss_0'] for each in (model, plain)]
    torch.testing.assert_close(*values, rtol=1e-4, atol=0)
    assert has_norms(model.teachers[0].model)


def test_a_compiled_teacher_shows_no_features(tmp_path):
    with pytest.raises(ValueError, match='model.compile_teacher=True: loss_0 compares'):
        taught(tmp_path, [AT], compile_teacher=True)


class TestOtherFamilies:
    def test_retinanet_teaches_a_faster_rcnn(self, tmp_path):
        # levels of stride 8, 16 and 32 of both
        loss = dict(PKD, layers=[('neck[1:4]', 'neck[:3]')])
        model = taught(tmp_path, [loss], faster_rcnn(), retinanet())
        assert step(model, detection_batch())['loss_0'] > 0

    def test_vit_teaches_a_resnet_by_pooled(self, tmp_path):
        rkd = dict(type='luminet_mm.RKDLoss')
        model = taught(tmp_path, [rkd], classifier(), vit(num_classes=7))
        assert step(model, image_batch())['loss_0'] > 0

    def test_retinanet_teaches_a_detr(self, tmp_path):
        """Which has rows of another kind."""
        loss = dict(PKD, layers=[('neck[:3]', 'neck[:3]')])
        model = taught(tmp_path, [loss], detr('deformable'), retinanet())
        model.init_weights()
        assert step(model, detection_batch())['loss_0'] > 0

    def test_several_labels_an_image(self, tmp_path):
        head = dict(
            type='MultiLabelLinearClsHead',
            loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
        )
        assert step(taught(tmp_path, [AT], classifier(head=head)), image_batch())

    def test_rows_still_need_one_family(self, tmp_path):
        model = taught(
            tmp_path,
            [dict(PKD, layers=[('neck[1]', 'neck[0]')]), KD],
            faster_rcnn(),
            retinanet(),
        )
        with pytest.raises(ValueError, match='cannot teach a FasterRCNN'):
            model.build_teachers()


class TestImages:
    def classifier_of(self, backbone, **parts):
        return dict(
            type='ImageClassifier',
            _scope_='mmpretrain',
            data_preprocessor=classifier()['data_preprocessor'],
            backbone=backbone,
            **parts,
        )

    def test_of_a_size_that_a_model_insists_on(self, tmp_path):
        """Windows of 7 x 7 at a stride of 32, which do not say so."""
        arch = dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4)
        swin = self.classifier_of(
            dict(type='SwinTransformer', arch=arch),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=5, in_channels=64),
        )
        model = taught(tmp_path, [dict(type='luminet_mm.RKDLoss')], swin)
        model.init_weights()
        assert step(model, image_batch(2, size=224))['loss_0'].isfinite()

    def test_gray(self, tmp_path):
        gray = classifier(backbone=dict(in_channels=1))
        gray['data_preprocessor'].update(mean=[100.0], std=[50.0], to_rgb=False)
        batch = image_batch()
        batch['inputs'] = [image[:1] for image in batch['inputs']]
        assert step(taught(tmp_path, [AT], gray), batch)['loss_0'] > 0

    def test_levels_of_stride_64_and_128(self, tmp_path):
        loss = dict(PKD, layers=[('neck[4]', 'neck[4]')])
        with pytest.raises(ValueError, match='of different levels'):
            taught(tmp_path, [loss], faster_rcnn(), retinanet())

    @pytest.mark.parametrize(('pad_S', 'pad_T'), [(32, 128), (1, 32)])
    def test_padding_that_differs(self, pad_S, pad_T, tmp_path):
        """What both have of the image is compared, and nothing is stretched."""
        fitnet = dict(FITNET, layers=[('neck', 'neck')])
        student, teacher = (
            faster_rcnn(data_preprocessor=dict(pad_size_divisor=pad))
            for pad in (pad_S, pad_T)
        )
        model = taught(
            tmp_path, [dict(AT, layers=[('neck', 'neck')]), fitnet], student, teacher
        )
        data = model.data_preprocessor(detection_batch(((90, 100),)), True)
        value = model.loss(**data)['loss_0']
        _, rows, taught_rows = model._learn(**data)
        pairs = zip(rows.features['neck'], taught_rows.features['neck'])
        maps = [crop_to_smaller(*pair) for pair in pairs]
        torch.testing.assert_close(value, 1000 * sum(at_loss(*pair) for pair in maps))


@pytest.mark.parametrize('name', ['PKDLoss', 'FGDLoss', 'FGFILoss', 'FitNetLoss'])
def test_padding_of_the_teacher_has_no_say(name, tmp_path):
    """Its maps of larger images are compared where both have some."""
    settings = dict(
        FitNetLoss=dict(layers=[('neck', 'neck')], relu=False),
        FGFILoss=dict(loss_weight=1e4),
    ).get(name, {})
    seen = {}

    def remember(feats_S, feats_T, **context):
        seen.update(context, sizes=[tuple(f.shape[2:]) for f in (*feats_S, *feats_T)])
        return sum(feat.sum() for feat in feats_S)

    teacher = faster_rcnn(data_preprocessor=dict(pad_size_divisor=64))
    loss = dict(type=f'luminet_mm.{name}', **settings)
    model = taught(tmp_path, [loss], faster_rcnn(), teacher)
    assert step(model, detection_batch())['loss_0'] > 0
    model.distill_losses['loss_0'].distance = remember
    step(model, detection_batch())  # 96 x 128, of which the teacher makes 128 x 128
    count = len(seen['sizes']) // 2
    assert seen['sizes'][:count] == seen['sizes'][count:]
    assert seen['sizes'][0] == (24, 32)
    assert seen.get('image_size', (96, 128)) == (96, 128)


def test_losses_of_maps_of_other_packages(tmp_path):
    loss = dict(
        type='mmrazor.ChannelWiseDivergence',
        tau=1.0,
        loss_weight=5.0,
        layers=[('neck', 'neck')],
    )
    own = dict(type='luminet_mm.CWDLoss', loss_weight=5.0)
    model = taught(tmp_path, [loss, own], faster_rcnn(), accelerate_teacher=True)
    values = step(model, detection_batch())
    torch.testing.assert_close(values['loss_0'], values['loss_1'])


def test_what_another_package_asserts_is_told_by_its_place(tmp_path):
    loss = dict(
        type='mmrazor.ChannelWiseDivergence', layers=[('stages[2]', 'stages[3]')]
    )
    with pytest.raises(ValueError, match='loss_0: ChannelWiseDivergence .*Assertion'):
        step(taught(tmp_path, [loss]), image_batch())


def test_checkpoint_is_the_students_with_connectors_beside_it(tmp_path):
    model = taught(tmp_path, [FITNET], classifier(), wide())
    state = model.state_dict()
    extra = {name for name in state if name.startswith('distill_losses.')}
    assert extra and all(name.startswith('distill_losses.loss_0.') for name in extra)
    plain = build(classifier())
    assert set(state) - extra == set(plain.state_dict())
    torch.save(dict(state_dict=state), tmp_path / 'student.pth')
    load_checkpoint(plain, str(tmp_path / 'student.pth'))
    for name, value in plain.state_dict().items():
        assert torch.equal(value, state[name]), name


def run(tmp_path, name, losses, model=None, **overrides):
    ckpt = save_weights(wide(), tmp_path / 'teacher.pth', seed=1)
    losses = {f'loss_{i}': loss for i, loss in enumerate(losses)}
    model = merged(distilled(classifier(), wide(), ckpt), model or {})
    model['distill_losses'] = losses
    runner = Runner.from_cfg(
        classification_run(model, tmp_path, tmp_path / name, **overrides)
    )
    runner.train()
    return runner


def test_resumed_run_equals_an_uninterrupted_one(tmp_path):
    straight = run(tmp_path, 'straight', [FITNET]).model.state_dict()
    run(tmp_path, 'parts', [FITNET], train_cfg=dict(max_epochs=1))
    resumed = run(tmp_path, 'parts', [FITNET], resume=True).model.state_dict()
    assert any(name.startswith('distill_losses.') for name in straight)
    for name, value in straight.items():
        assert torch.equal(value, resumed[name]), name


def test_resuming_puts_the_memory_of_crd_back(tmp_path):
    crd = dict(type='luminet_mm.CRDLoss', num_samples=16, num_negatives=8)
    first = run(tmp_path, 'run', [crd], train_cfg=dict(max_epochs=1))
    kept = copy.deepcopy(first.model.distill_losses.state_dict())
    assert any(value.shape == (16, 128) for value in kept.values())
    runner = Runner.from_cfg(copy.deepcopy(first.cfg))
    runner.model.init_weights()
    runner.resume(str(tmp_path / 'run' / 'epoch_1.pth'))
    for name, value in runner.model.distill_losses.state_dict().items():
        assert torch.equal(value, kept[name]), name


def test_connectors_are_trained(tmp_path):
    model = run(tmp_path, 'run', [FITNET]).model
    fresh = taught(tmp_path, [FITNET], classifier(), wide())
    for (name, after), before in zip(
        model.distill_losses.named_parameters(), fresh.distill_losses.parameters()
    ):
        assert after.shape == before.shape and not torch.equal(after, before), name


def test_first_weights_of_the_student_are_its_own(tmp_path):
    """Whatever connectors it has."""
    states = []
    for losses in ([FITNET], [KD]):
        torch.manual_seed(0)
        model = taught(tmp_path, losses, classifier(), wide(num_classes=5))
        torch.manual_seed(0)
        model.student.init_weights()
        states.append((model.student.state_dict(), torch.rand(1)))
    assert torch.equal(states[0][1], states[1][1])
    for name, value in states[0][0].items():
        assert torch.equal(value, states[1][0][name]), name


def test_weights_ahead_of_init_are_not_touched_by_the_teachers(tmp_path):
    """Building a distiller draws as many numbers with connectors as without."""
    ckpt = save_weights(wide(), tmp_path / 'teacher.pth')
    drawn = []
    for loss in (FITNET, KD):
        torch.manual_seed(0)
        distiller(classifier(), wide(), ckpt, distill_losses=dict(loss_x=loss))
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


def test_half_precision(tmp_path):
    model = taught(tmp_path, [FITNET, AT], classifier(), wide())
    data = model.data_preprocessor(image_batch(), True)
    plain = model.loss(**data)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = model.loss(**data)
    for name in ('loss_0', 'loss_1'):
        assert half[name].dtype == torch.float32
        torch.testing.assert_close(half[name], plain[name], rtol=0.05, atol=1e-3)


def test_ema_copies_student_and_connectors_alone(tmp_path):
    model = taught(tmp_path, [FITNET], classifier(), wide())
    step(model, image_batch())
    ema = ExponentialMovingAverage(model, momentum=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    ema.update_parameters(model)  # the first one copies
    assert ema.module.teachers[0] is model.teachers[0]
    for name, value in ema.module.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert step(ema.module, image_batch())['loss_0'].isfinite()


def test_upstreams_ema_hook(tmp_path):
    """Averages connectors as it averages the student."""
    hooks = [dict(type='EMAHook', momentum=0.5)]
    run(tmp_path, 'run', [FITNET], custom_hooks=hooks)
    saved = torch.load(tmp_path / 'run' / 'epoch_2.pth')
    average = saved['ema_state_dict']
    for name, value in saved['state_dict'].items():
        assert f'module.{name}' in average and value.isfinite().all(), name
    plain = build(classifier())
    load_checkpoint(plain, str(tmp_path / 'run' / 'epoch_2.pth'))
    assert torch.equal(plain.head.fc.weight, saved['state_dict']['head.fc.weight'])


class TestGradientCheckpointing:
    def model(self, tmp_path, place, with_cp):
        layers = [(place, place)]
        student = classifier(backbone=dict(with_cp=with_cp))
        model = taught(tmp_path, [dict(AT, layers=layers)], student, classifier())
        torch.manual_seed(3)
        model.init_weights()
        return model

    @pytest.mark.parametrize('place', ['stages', 'preactivations'])
    def test_gradient_is_that_without(self, place, tmp_path):
        grads = []
        for with_cp in (False, True):
            model = self.model(tmp_path, place, with_cp)
            step(model, image_batch())['loss_0'].backward()
            grads.append([p.grad for p in model.student.backbone.parameters()])
        assert all(grad is not None for grad in grads[0])
        assert sum(grad.any() for grad in grads[0]) > 20
        for left, right in zip(*grads):
            torch.testing.assert_close(left, right)

    def test_inside_of_a_block_is_refused(self, tmp_path):
        model = self.model(tmp_path, 'backbone.layer2.0.conv1', True)
        with pytest.raises(ValueError, match='no gradient.*with_cp'):
            step(model, image_batch())


class TestEnd:
    def test_stop(self, tmp_path):
        """The teacher is not asked any more, and the student trains on."""
        model = taught(tmp_path, [FITNET, KD], classifier(), wide(), stop_epoch=2)
        hub = MessageHub.get_current_instance()
        hub.update_info('epoch', 1)
        assert step(model, image_batch())['loss_0'] > 0
        hub.update_info('epoch', 2)
        model.teachers[0].predict = None
        losses = step(model, image_batch())
        assert set(losses) == {'loss_cls', 'loss_0'}
        assert losses['loss_0'] == 0
        sum(losses.values()).backward()
        assert all(p.grad is not None for p in model.parameters())

    def test_stop_iter(self, tmp_path):
        model = taught(tmp_path, [KD], stop_iter=5)
        hub = MessageHub.get_current_instance()
        for done, over in ((0, False), (4, False), (5, True), (6, True)):
            hub.update_info('iter', done)
            assert model.is_over == over
            assert ('loss_0' in step(model, image_batch())) != over

    def test_checks_of_the_run_are_made_once(self, tmp_path):
        """Also of one that is resumed behind the end."""
        model = taught(tmp_path, [KD], stop_iter=5)
        MessageHub.get_current_instance().update_info('iter', 6)
        checks = []
        model._check_run = lambda: checks.append(1)
        for _ in range(2):
            step(model, image_batch())
        assert len(checks) == 1

    def test_warmup(self, tmp_path):
        model = taught(tmp_path, [FITNET], classifier(), wide(), warmup=4)
        hub = MessageHub.get_current_instance()
        values = []
        for epoch in (0, 3, 9):
            hub.update_info('epoch', epoch)
            values.append(step(model.eval(), image_batch())['loss_0'])
        torch.testing.assert_close(4 * values[0], values[1])
        torch.testing.assert_close(values[1], values[2])


def test_testing_needs_no_weights_of_the_teacher(tmp_path):
    model = distiller(
        classifier(), wide(), 'nowhere.pth', distill_losses=dict(loss_x=FITNET)
    )
    predictions = model.test_step(image_batch())
    assert len(predictions) == 8 and not model.teachers


def test_pictures_of_features_alone_show_detections(tmp_path, caplog):
    coco = tmp_path / 'run'
    teacher = save_weights(faster_rcnn(), tmp_path / 'teacher.pth')
    model = distilled(faster_rcnn(), faster_rcnn(), teacher)
    model['distill_losses'] = dict(loss_pkd=PKD)
    hook = dict(type='luminet_mm.DistillVisualizationHook', score_thr=0.0)
    cfg = detection_run(
        model, tmp_path, coco, train_cfg=dict(max_epochs=1), custom_hooks=[hook]
    )
    Runner.from_cfg(cfg).train()
    drawn = {path.name.split('_')[0] for path in coco.rglob('vis_image/*.png')}
    assert drawn == {'detections'}


def two_sided(tmp_path):
    """A distiller whose losses are means over the images, without batch statistics."""
    student = classifier(backbone=dict(norm_eval=True))
    cwd = dict(type='luminet_mm.CWDLoss', layers=[('stages', 'stages')])
    torch.manual_seed(5)
    model = distiller(
        student,
        wide(),
        str(tmp_path / 'teacher.pth'),
        distill_losses=dict(loss_cwd=cwd),
        stop_epoch=3,
    )
    model.init_weights()
    return model.train()


def gradients(model, part, epoch=0):
    MessageHub.get_current_instance().update_info('epoch', epoch)
    model.zero_grad()
    inner = getattr(model, 'module', model)
    batch = {name: values[part] for name, values in image_batch().items()}
    losses = model(**inner.data_preprocessor(batch, True), mode='loss')
    inner.parse_losses(losses)[0].backward()
    return {name: p.grad.clone() for name, p in inner.named_parameters()}


def process(rank, tmp_path):
    """One of two that share a batch."""
    dist.init_process_group('gloo', f'file://{tmp_path}/store', rank=rank, world_size=2)
    model = MMDistributedDataParallel(two_sided(tmp_path))
    part = slice(4 * rank, 4 * rank + 4)
    grads = [gradients(model, part, epoch) for epoch in (0, 3, 3)]
    if rank == 0:
        torch.save(grads, tmp_path / 'grads.pth')
    dist.barrier()  # leave together, see test_sync_stats.py
    os._exit(0)


def test_two_processes_learn_as_one_and_stop_as_one(tmp_path):
    save_weights(wide(), tmp_path / 'teacher.pth')
    model = two_sided(tmp_path)
    alone = [gradients(model, slice(None), epoch) for epoch in (0, 3)]
    mp.spawn(process, (tmp_path,), nprocs=2)
    both = torch.load(tmp_path / 'grads.pth')
    for epoch, (one, two) in enumerate(zip(alone, both)):
        connectors = [grad for name, grad in two.items() if 'connectors' in name]
        assert connectors and any(g.any() for g in connectors) == (epoch == 0)
        for name, grad in one.items():
            torch.testing.assert_close(two[name], grad, rtol=1e-4, atol=1e-6)


def test_the_pages_new_method(tmp_path):
    """A loss of a user's own is one class, as docs/features.md has it."""
    page = Path(__file__).parents[2] / 'docs' / 'features.md'
    *_, example = re.findall(r'```python\n(.*?)```', page.read_text(), re.DOTALL)
    exec(example, {})
    try:
        loss = dict(type='luminet_mm.MSEOfStages')
        model = taught(tmp_path, [loss], classifier(), wide())
    finally:
        MODELS.module_dict.pop('MSEOfStages')  # other tests look at all that there are
    step(model, image_batch())['loss_0'].backward()
    assert all(p.grad.any() for p in model.distill_losses.parameters())


@pytest.mark.parametrize('losses', [[AT], [AT, KD]])
def test_features_alone_need_no_classes_in_common(losses, tmp_path):
    """Even where the teacher's checkpoint names its own."""
    teacher = classifier(num_classes=5 if KD in losses else 7)
    names = [f'class {i}' for i in range(teacher['head']['num_classes'])]
    meta = dict(dataset_meta=dict(classes=names[::-1]))
    ckpt = save_weights(teacher, tmp_path / 'teacher.pth', seed=1, **meta)
    losses = {f'loss_{i}': loss for i, loss in enumerate(losses)}
    model = distiller(classifier(), teacher, ckpt, distill_losses=losses)
    hub = MessageHub.get_current_instance()
    hub.update_info('dataset_meta', dict(classes=names[:5]))
    try:
        if 'loss_1' not in losses:
            assert step(model, image_batch())['loss_0'] > 0
            return
        with pytest.raises(ValueError, match="class 'class 4' is number 0 for the"):
            step(model, image_batch())
    finally:
        hub.pop_info('dataset_meta')


SIGMOID = dict(head=dict(loss=dict(type='CrossEntropyLoss', use_sigmoid=True)))
MULTI_LABEL = dict(type='MultiLabelLinearClsHead', num_classes=5, in_channels=64)


@pytest.mark.parametrize(
    ('student', 'teacher', 'message'),
    [
        (dict(), dict(num_classes=7), 'classifies 5 classes .* the teacher 7'),
        (SIGMOID, SIGMOID, 'model.student.head is trained by sigmoids'),
        (dict(), SIGMOID, 'model.teacher.head is trained by sigmoids'),
        (MULTI_LABEL, dict(), 'MultiLabelLinearClsHead, which says of each class'),
    ],
)
def test_fcfd_compares_classes(student, teacher, message, tmp_path):
    """Its mixed paths end in logits, in the first iteration or a later one."""
    if student is MULTI_LABEL:
        student = dict(classifier(), head=MULTI_LABEL)
    else:
        student = classifier(**student)
    loss = dict(type='luminet_mm.FCFDLoss')
    model = taught(tmp_path, [loss], student, classifier(**teacher))
    with pytest.raises(ValueError, match=message):
        model.build_teachers()
