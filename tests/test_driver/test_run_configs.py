"""The whole configs that a distillation is planned with."""

import pytest
from data_sets import write_coco, write_images
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.nn.modules.batchnorm import _BatchNorm

from luminet_mm.driver import weights
from luminet_mm.driver.coco_data import CocoData
from luminet_mm.driver.configs import distilled_cfg, first_difference, plain_cfg
from luminet_mm.driver.image_folder import ImageFolder
from luminet_mm.driver.methods import load_method, methods_of, task_of
from luminet_mm.driver.preflight import num_images, zoo_classes
from luminet_mm.driver.weights import use_zoo_weights
from luminet_mm.registry import MODELS

FASTER = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
YOLOX = 'mmdet::yolox/yolox_s_8xb8-300e_coco.py'
SSD = 'mmdet::ssd/ssd300_coco.py'
RTMDET = 'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py'
CASCADE = 'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py'
RESNET = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
DEIT = 'mmpretrain::deit/deit-tiny_4xb256_in1k.py'
MOBILEONE = 'mmpretrain::mobileone/mobileone-s1_8xb32_in1k.py'
MOBILENET = 'mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    return CocoData(write_coco(tmp_path_factory.mktemp('coco')))


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return ImageFolder(write_images(tmp_path_factory.mktemp('images')))


def test_heads_have_the_classes_of_the_data(coco, images):
    assert plain_cfg(FASTER, {}, coco).model.roi_head.bbox_head.num_classes == 2
    stages = plain_cfg(CASCADE, {}, coco).model.roi_head.bbox_head
    assert [stage.num_classes for stage in stages] == [2, 2, 2]
    cfg = plain_cfg(DEIT, {}, images)
    assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == 2
    # the first five of two classes are all
    assert plain_cfg(RESNET, {}, images).model.head.topk == (1,)


def test_the_learning_rate_follows_the_batch(coco):
    # 0.02 for 16 images
    assert plain_cfg(FASTER, {}).optim_wrapper.optimizer.lr == 0.0025
    cfg = plain_cfg(FASTER, {}, coco, batch_size=4, gpus=8)
    assert cfg.optim_wrapper.optimizer.lr == 0.04
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=32)


def test_a_schedule_keeps_its_shape():
    cfg = plain_cfg(FASTER, {}, epochs=24)
    assert cfg.train_cfg.max_epochs == 24
    assert cfg.param_scheduler[0].end == 500  # iterations
    assert cfg.param_scheduler[1].milestones == [16, 22]
    cfg = plain_cfg(YOLOX, {}, epochs=30)
    warmup, cosine, constant = cfg.param_scheduler
    assert (warmup.begin, warmup.end) == (0, 1)  # of 0 to 5 of 300
    assert (cosine.end, cosine.T_max) == (28, 28)
    assert (constant.begin, constant.end) == (28, 30)
    switch = next(h for h in cfg.custom_hooks if h.type == 'YOLOXModeSwitchHook')
    assert switch.num_last_epochs == 2
    cfg = plain_cfg(RTMDET, {}, epochs=30)
    assert cfg.train_cfg.val_interval == 1
    assert cfg.train_cfg.dynamic_intervals == [(28, 1)]
    switch = next(h for h in cfg.custom_hooks if h.type == 'PipelineSwitchHook')
    assert switch.switch_epoch == 28
    cfg = plain_cfg(MOBILENET, {}, epochs=30)  # of 300, by 0.98 after each
    assert cfg.param_scheduler.step_size == 1
    assert cfg.param_scheduler.gamma == pytest.approx(0.98**10)


def test_recipes_that_switch_keep_their_share():
    def epochs(total):
        cfg = plain_cfg(MOBILEONE, {}, epochs=total)
        (hook,) = [h for h in cfg.custom_hooks if h.type == 'SwitchRecipeHook']
        return {r.action_epoch: r.pipeline[1].scale for r in hook.schedule}

    assert epochs(300) == {37: 192, 112: 224}
    assert epochs(30) == {4: 192, 11: 224}
    assert epochs(2) == {1: 224}  # upstream takes each epoch once


def test_a_warmup_of_the_learning_rate_leaves_most_of_a_short_run(coco):
    num = len(coco.splits['train'].images)

    def end(name, **kwargs):
        return plain_cfg(name, {}, coco, **kwargs).param_scheduler[0].end

    assert end(FASTER, epochs=24, batch_size=1) == 24 * num // 8 < 500
    assert end(FASTER, epochs=24, batch_size=1, gpus=2) == 24 * -(-num // 2) // 8
    assert end(FASTER, epochs=2000, batch_size=1) == 500
    assert end(YOLOX, epochs=24, batch_size=1) == 1  # an epoch, as it counts these


def test_a_warmup_of_the_distillation_is_of_the_processes_iterations(coco, tmp_path):
    for name in ('teacher', 'student'):
        plain_cfg(FASTER, {}, coco, 24, 1).dump(str(tmp_path / f'{name}.py'))

    def warmup(gpus):
        student, teacher = (str(tmp_path / f'{n}.py') for n in ('student', 'teacher'))
        cfg = distilled_cfg(student, teacher, 't.pth', 'kd', {}, 80, '', gpus)
        return cfg.model.warmup, cfg.model.warmup_by_epoch

    assert warmup(1) == (24 * 80 // 8, False)
    assert warmup(8) == (24 * 10 // 8, False)


def test_what_is_asked_for_comes_first(coco):
    options = {
        'optim_wrapper.optimizer.lr': 0.01,
        'param_scheduler.1.milestones': [16, 20],
        'param_scheduler.0.end': 3,
        'val_evaluator.classwise': True,
        'randomness.seed': 7,
    }
    cfg = plain_cfg(FASTER, options, coco)
    assert cfg.optim_wrapper.optimizer.lr == 0.01
    assert cfg.param_scheduler[1].milestones == [16, 20]
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[0].end) == (24, 3)
    assert cfg.val_evaluator.classwise and cfg.randomness.seed == 7
    cfg = plain_cfg(FASTER, {'train_cfg.max_epochs': 5}, coco)
    assert cfg.train_cfg.max_epochs == 5
    assert cfg.param_scheduler[1].milestones == [8, 11]  # as the config says


def test_rates_of_rtmdet_are_for_the_batch_of_its_name():
    """Though it inherits another."""
    cfg = plain_cfg(RTMDET, {}, batch_size=32)
    assert cfg.optim_wrapper.optimizer.lr == 0.0005  # 0.004 for 8 x 32
    cosine = cfg.param_scheduler[1]
    assert cosine.eta_min == pytest.approx(0.0002 / 8)


def test_an_average_forgets_the_first_weights(coco, images):
    def momentum(name, data, **kwargs):
        cfg = plain_cfg(name, {}, data, **kwargs)
        return next(h for h in cfg.custom_hooks if h.type == 'EMAHook').momentum

    num = len(images.splits['train'].images)
    assert momentum(MOBILEONE, images, epochs=20, batch_size=1) == 10 / (20 * num)
    assert momentum(MOBILEONE, images, epochs=1, batch_size=64) == 1
    assert momentum(MOBILEONE, None) == 5e-4
    assert momentum(RTMDET, coco, epochs=1) == 0.0002  # it warms up by itself


def test_no_milestone_is_before_the_first_epoch():
    cfg = plain_cfg(RESNET, {}, epochs=1)
    assert cfg.param_scheduler.milestones == [1]


def test_images_that_are_shown_several_times_are_counted_so(coco):
    cfg = plain_cfg(SSD, {}, coco, epochs=24, batch_size=1)
    assert num_images(cfg, SSD, coco) == 5 * len(coco.splits['train'].images)
    assert cfg.param_scheduler[0].end == 24 * 5 * 4 // 8


def test_a_batch_that_is_never_full_is_refused(images):
    drop = {'train_dataloader.drop_last': True}
    num = len(images.splits['train'].images)
    assert plain_cfg(RESNET, drop, images, batch_size=num)
    with pytest.raises(
        ValueError, match=f'{num} images do not fill a batch of {2 * num}'
    ):
        plain_cfg(RESNET, drop, images, batch_size=num, gpus=2)


def test_iterations_of_own_data_are_asked_for(coco):
    name = 'mmdet::retinanet/retinanet_r50_fpn_90k_coco.py'
    with pytest.raises(ValueError, match='counts iterations, 90000 .*max_iters=N'):
        plain_cfg(name, {}, coco)
    assert plain_cfg(name, {'train_cfg.max_iters': 9}, coco).train_cfg.max_iters == 9


def test_iterations_are_not_epochs():
    with pytest.raises(ValueError, match='counts iterations; set them by'):
        plain_cfg('luminet_mm::coco/frcnn_r18.py', {}, epochs=2)


def test_boxes_are_for_detectors(coco, images):
    with pytest.raises(ValueError, match='is a classifier'):
        plain_cfg(RESNET, {}, coco)
    with pytest.raises(ValueError, match='is a detector'):
        plain_cfg(FASTER, {}, images)


def test_a_distillation_is_no_plain_model():
    with pytest.raises(ValueError, match='is a distillation already'):
        plain_cfg('luminet_mm::cifar100/resnet56_resnet20_luminet.py', {})


def test_no_such_model():
    with pytest.raises(ValueError, match='no such config'):
        plain_cfg('mmdet::faster_rcnn/faster-rcnn_r51_fpn_1x_coco.py', {})


def test_tasks():
    names = dict(
        two_stage=[FASTER, CASCADE],
        dense=[YOLOX, RTMDET],
        images=[RESNET, DEIT],
        small_images=['luminet_mm::cifar100/resnet20.py'],
    )
    for task, configs in names.items():
        assert {task_of(plain_cfg(name, {})) for name in configs} == {task}


@pytest.mark.parametrize('task', ['two_stage', 'dense', 'images', 'small_images'])
def test_every_method_has_losses(task):
    for name, method in methods_of(task).items():
        assert method.distill_losses, name
        for loss in method.distill_losses.values():
            assert loss.type.startswith('luminet_mm.')


def test_methods_join():
    both = load_method('luminet+pkd', 'two_stage')
    assert set(both.distill_losses) == {'loss_luminet', 'loss_pkd'}
    whole = load_method('luminet_box_rpn', 'two_stage').distill_losses
    assert set(whole) == {'loss_luminet', 'loss_box', 'loss_rpn'}
    # what both set otherwise is the first one's
    assert load_method('luminet+kd', 'images').student.head.loss.loss_weight == 1.0
    assert load_method('kd+luminet', 'images').student.head.loss.loss_weight == 0.5


def test_no_such_method():
    with pytest.raises(ValueError, match="--method lumine.*did you mean 'luminet'"):
        load_method('lumine', 'dense')
    with pytest.raises(ValueError, match='no such method for these models'):
        load_method('crd', 'dense')


@pytest.mark.parametrize('online', [True, False])
def test_what_starts_from_random_weights_is_not_frozen(online, monkeypatch):
    monkeypatch.setattr(weights, '_problem', lambda path: '' if online else 'offline')
    cfg = plain_cfg(FASTER, {})
    problems = use_zoo_weights(cfg, FASTER)
    backbone = cfg.model.backbone
    frozen = backbone.frozen_stages, backbone.norm_eval
    if online:  # the zoo's detector holds the backbone
        assert cfg.load_from.startswith('https://') and not problems
        assert frozen == (1, True)
    else:
        assert cfg.load_from is None
        all_of_it = 'so all of it is trained (frozen_stages=-1, norm_eval=False)'
        assert problems == ['offline', f'offline; {all_of_it}']
        assert frozen == (-1, False)
    assert backbone.init_cfg is None


@pytest.mark.parametrize(
    ('name', 'settings'),
    [
        ('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', 'norm_cfg.requires_grad'),
        ('mmdet::hrnet/faster-rcnn_hrnetv2p-w18-1x_coco.py', 'norm_eval=False'),
        ('mmdet::yolo/yolov3_d53_8xb8-320-273e_coco.py', 'norm_eval=False'),
        ('mmdet::detr/detr_r50_8xb2-150e_coco.py', 'norm_cfg.requires_grad=True'),
    ],
)
def test_nor_is_what_is_frozen_by_default(name, settings, monkeypatch):
    """Of a class, or by its normalisation, whose weights may start at 0."""
    monkeypatch.setattr(weights, '_problem', lambda path: 'offline')
    cfg = plain_cfg(name, {})
    problems = use_zoo_weights(cfg, name)
    assert settings in problems[-1]
    init_default_scope('mmdet')
    backbone = MODELS.build(cfg.model.backbone)
    backbone.train()
    norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
    assert norms and all(m.training and m.weight.requires_grad for m in norms)


def test_a_file_that_a_config_starts_from_must_be_there():
    cfg = plain_cfg(FASTER, {'load_from': 'typo.pth'})
    with pytest.raises(ValueError, match='load_from: typo.pth cannot be had'):
        use_zoo_weights(cfg, FASTER)


def test_the_first_difference_is_named():
    old = Config(dict(a=dict(b=[1, (2, 3)], c=4)))
    assert first_difference(old, Config(dict(a=dict(b=[1, [2, 3]], c=4)))) is None
    assert first_difference(old, Config(dict(a=dict(b=[1], c=4)))) == 'a.b'
    assert first_difference(old, Config(dict(a=dict(b=[1, (2, 3)])))) == 'a.c'


def test_classes_of_a_zoos_weights():
    assert len(zoo_classes(FASTER)) == len(zoo_classes(YOLOX)) == 80
    assert len(zoo_classes(RESNET)) == 1000
    assert len(zoo_classes('luminet_mm::cifar100/resnet20.py')) == 100
