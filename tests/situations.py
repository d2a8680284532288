"""Situations of public bug reports. Nothing is wrong in them, so they must work.

A new one is a function that gets an empty folder, named as the situation is told; it
asserts what a user would look at. ``@situation('word & another')`` adds words that a
warning must hold.
"""

import copy
import shutil

import doings
import torch
from bad_inputs import Input, tinyimagenet
from doings import KD, distil, run_cfg, script, tool, train, weights
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.runner.checkpoint import CheckpointLoader
from tiny import (
    cascade_rcnn,
    classifier,
    dense,
    detection_batch,
    faster_rcnn,
    image_batch,
    mask_rcnn,
)

SITUATIONS = []


def situation(words=''):
    """Add a function to the situations."""

    def add(do):
        name = do.__name__.replace('_', ' ')
        words_ = tuple(words.split(' & '))
        SITUATIONS.append(Input('situations of bug reports', name, words_, do, 'works'))
        return do

    return add


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), map_location='cpu')


def same(a, b):
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def weights_of(make, **meta):
    path = weights(make, **meta)
    doings.write_weights()
    return path


def of_own_weights(family='classifier', make=None, **changes):
    """The losses of a student that has its teacher's weights and sees what it sees."""
    make = make or doings.FAMILIES[family][0]
    path = weights_of(make)
    model, _ = distil(
        family, student=make(), teacher=make(), teacher_ckpt=path, **changes
    )
    model.student.load_state_dict(load(path)['state_dict'])
    model.eval()
    batch = doings.FAMILIES[family][1]()
    losses = model.loss(**model.data_preprocessor(batch, False))
    return {name: float(losses[name]) for name in model.distill_losses}


# ----------------------------------------------------------------------- the models
@situation()
def a_teacher_whose_preprocessor_is_the_runs(folder):
    """mmpretrain keeps it at the top level of its configs."""
    student, teacher = classifier(), classifier()
    pixels = student.pop('data_preprocessor')
    del teacher['data_preprocessor']
    model, _ = distil(student=student, teacher=teacher, data_preprocessor=pixels)
    model.student.load_state_dict(load(weights())['state_dict'])
    model.eval()
    losses = model.loss(**model.data_preprocessor(image_batch(), False))
    assert losses['loss_kd'] == 0, losses


@situation()
def hard_examples_mined_by_OHEM(folder):
    def make():
        sampler = dict(type='OHEMSampler', num=16)
        return faster_rcnn(train_cfg=dict(rcnn=dict(sampler=sampler)))

    losses = dict(loss_box=dict(type='luminet_mm.BoxLoss'), loss_kd=KD)
    found = of_own_weights('faster_rcnn', make, distill_losses=losses)
    assert not any(found.values()), found


@situation()
def a_teacher_with_masks(folder):
    distil('faster_rcnn', teacher=mask_rcnn(), teacher_ckpt=weights_of(mask_rcnn))


@situation()
def a_cascade_teaches_a_detector_of_one_stage(folder):
    distil('faster_rcnn', teacher=cascade_rcnn(), teacher_ckpt=weights_of(cascade_rcnn))


@situation()
def the_last_stage_of_a_cascade_teaches(folder):
    distil(
        'faster_rcnn',
        teacher=cascade_rcnn(),
        teacher_ckpt=weights_of(cascade_rcnn),
        source=dict(type='TwoStageSource', teacher_stage=2),
    )


@situation()
def two_teachers(folder):
    distil(teacher=[classifier(), classifier()], teacher_ckpt=[weights()] * 2)


@situation()
def labels_softened_by_mixup(folder):
    mixup = dict(batch_augments=dict(augments=[dict(type='Mixup', alpha=0.8)]))
    distil(student=classifier(data_preprocessor=mixup))


@situation()
def a_multi_label_classifier(folder):
    """Works class by class, or is refused by name."""
    from mmpretrain.structures import DataSample

    def make():
        head = dict(type='MultiLabelLinearClsHead', num_classes=5, in_channels=64)
        return {**classifier(), 'head': head}

    batch = image_batch()
    labels = [[i % 5, (i + 2) % 5] if i % 2 else [i % 5] for i in range(8)]
    batch['data_samples'] = [DataSample().set_gt_label(label) for label in labels]
    losses = dict(loss_x=dict(type='luminet_mm.KDLoss'))
    try:
        distil(
            batch=batch,
            student=make(),
            teacher=make(),
            teacher_ckpt=weights_of(make),
            distill_losses=losses,
        )
    except ValueError as error:
        assert 'sigmoid' in str(error) or 'label' in str(error), error
        return
    raise AssertionError('the softmax of independent sigmoids is compared')


@situation()
def a_head_whose_maps_are_probabilities(folder):
    """TOOD's: its logits are compared, or it is refused by name."""

    def make():
        head = dict(num_classes=3, in_channels=32, feat_channels=32, stacked_convs=2)
        cfg_path = 'mmdet::tood/tood_r50_fpn_1x_coco.py'
        return {**dense('atss'), 'cfg_path': cfg_path, 'bbox_head': head}

    MessageHub.get_current_instance().update_info('epoch', 0)
    try:
        model, _ = distil(
            'retinanet', student=make(), teacher=make(), teacher_ckpt=weights_of(make)
        )
    except ValueError as error:
        assert 'TOOD' in str(error), error
        return
    rows, taught = model.look(**model.data_preprocessor(detection_batch(), False))
    assert taught[:, :-1].min() < 0, 'the logit of an unlikely class is below 0'


@situation()
def a_teacher_that_cannot_be_made_faster(folder):
    """The features of a distilled DeiT are a tuple."""

    def deit():
        model = classifier(backbone=dict(init_cfg=None))
        del model['neck']
        model['backbone'] = dict(
            type='DistilledVisionTransformer', arch='deit-tiny', img_size=32
        )
        head = dict(type='DeiTClsHead', num_classes=5, in_channels=192)
        return {**model, 'head': head}

    distil(teacher=deit(), teacher_ckpt=weights_of(deit), accelerate_teacher=True)


@situation()
def images_without_an_object(folder):
    batch = doings.FAMILIES['faster_rcnn'][1]()
    for sample in batch['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    losses = dict(
        loss_box=dict(type='luminet_mm.BoxLoss'),
        loss_dkd=dict(type='luminet_mm.DKDLoss'),
        loss_luminet=dict(type='luminet_mm.LuminetLoss'),
    )
    distil('faster_rcnn', batch, distill_losses=losses)


@situation()
def a_dense_student_without_an_object(folder):
    batch = doings.FAMILIES['retinanet'][1]()
    for sample in batch['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    distil('retinanet', batch, distill_losses=dict(loss_x=dict(KD)))


@situation()
def logits_of_bfloat16(folder):
    model, _ = distil()
    model.to(torch.bfloat16)
    data = model.data_preprocessor(image_batch(), True)
    data['inputs'] = data['inputs'].bfloat16()
    losses = model.loss(**data)
    assert losses['loss_kd'].isfinite(), losses


@situation()
def a_hook_that_looks_for_the_students_head(folder):
    model, _ = distil('retinanet')
    assert model.bbox_head is model.student.bbox_head


@situation()
def a_distiller_is_copied(folder):
    """As EMA does."""
    model, _ = distil()
    copy.deepcopy(model)


# ------------------------------------------------------------------------- trainings
@situation()
def training_with_EMA(folder):
    train(folder, custom_hooks=[dict(type='EMAHook', momentum=0.1)])
    assert 'ema_state_dict' in load(folder / 'run' / 'epoch_2.pth')


@situation()
def pictures_of_a_training_with_mixup(folder):
    mixup = dict(batch_augments=dict(augments=[dict(type='Mixup', alpha=0.8)]))
    train(
        folder,
        model=dict(student=classifier(data_preprocessor=mixup)),
        custom_hooks=[dict(type='luminet_mm.DistillVisualizationHook')],
    )


@situation()
def accumulated_gradients(folder):
    train(folder, optim_wrapper=dict(accumulative_counts=2))


@situation()
def clipped_gradients(folder):
    train(folder, optim_wrapper=dict(clip_grad=dict(max_norm=1.0)))


@situation()
def a_work_dir_with_a_space(folder):
    train(folder, '--work-dir', 'my runs/first one')
    assert (folder / 'my runs' / 'first one' / 'epoch_2.pth').exists()


@situation()
def a_checkpoint_with_a_space(folder):
    path = folder / 'my teacher.pth'
    shutil.copy(weights(), path)
    train(folder, '--cfg-options', f'model.teacher_ckpt={path}')


@situation()
def an_empty_override(folder):
    train(folder, '--cfg-options', 'custom_hooks=[]')


@situation()
def FlexibleRunner(folder):
    """The config's runner is the one that trains."""
    cfg = run_cfg(folder, runner_type='RunnerThatIsSeen')
    cfg.dump(folder / 'config.py')
    doings.RunnerThatIsSeen.seen = 0
    tool('train.py', folder / 'config.py')
    assert doings.RunnerThatIsSeen.seen == 1, 'runner_type was ignored'


@situation()
def the_config_in_the_work_dir_is_whole(folder):
    """The student's file may change later."""
    Config(dict(model=classifier())).dump(folder / 'student.py')
    student = dict(cfg_path=str(folder / 'student.py'))
    train(folder, model=dict(student=student))
    (folder / 'student.py').unlink()
    (saved,) = (folder / 'run').glob('*.py')
    Config(dict(Config.fromfile(saved))).dump(folder / 'again.py')
    tool('train.py', folder / 'again.py', '--work-dir', folder / 'again')


@situation()
def testing_needs_no_teacher(folder):
    model = dict(teacher_ckpt='gone.pth')
    path = weights_of(faster_rcnn)
    doings.test(folder, path, family='faster_rcnn', model=model)


@situation()
def the_student_loads_where_it_is_plain(folder):
    train(folder)
    state = load(folder / 'run' / 'epoch_2.pth')['state_dict']
    doings.MODELS.build(classifier()).load_state_dict(state, strict=True)


@situation()
def a_conversion_that_was_cut_off(folder):
    """What it left behind is no part of the new set."""
    old = 'sets/out.unfinished/train/n99/old.png'
    doings.file(folder, old, doings.picture())
    tinyimagenet(folder)
    assert {path.name for path in (folder / 'sets/out/train').iterdir()} == {'n01'}


# --------------------------------------------------------------- kills and resuming
@situation()
def resuming_gives_the_same_weights(folder):
    cfg = run_cfg(folder)
    cfg.dump(folder / 'config.py')
    tool('train.py', 'config.py', '--work-dir', 'whole')
    tool('train.py', 'config.py', '--work-dir', 'parts')
    (folder / 'parts' / 'epoch_2.pth').unlink()
    (folder / 'parts' / 'last_checkpoint').write_text(
        str(folder / 'parts' / 'epoch_1.pth')
    )
    tool('train.py', 'config.py', '--work-dir', 'parts', '--resume')
    states = [load(folder / run / 'epoch_2.pth') for run in ('whole', 'parts')]
    assert same(*(state['state_dict'] for state in states))


def resume_after(folder, harm):
    """Train, harm what the last checkpoint left, and resume."""
    cfg = run_cfg(folder)
    cfg.dump(folder / 'config.py')
    tool('train.py', 'config.py')
    harm(folder / 'run')
    tool('train.py', 'config.py', '--resume')
    assert load(folder / 'run' / 'epoch_2.pth')['meta']['epoch'] == 2


@situation('last_checkpoint')
def resuming_with_an_empty_last_checkpoint(folder):
    def harm(run):
        (run / 'epoch_2.pth').unlink()
        (run / 'last_checkpoint').write_text('')

    resume_after(folder, harm)


@situation('epoch_2.pth')
def resuming_with_half_a_last_checkpoint(folder):
    def harm(run):
        path = run / 'epoch_2.pth'
        path.write_bytes(path.read_bytes()[:1000])

    resume_after(folder, harm)


@situation('epoch_2.pth')
def resuming_with_a_last_checkpoint_that_is_gone(folder):
    resume_after(folder, lambda run: (run / 'epoch_2.pth').unlink())


@situation()
def resuming_without_last_checkpoint(folder):
    def harm(run):
        (run / 'epoch_2.pth').unlink()
        (run / 'last_checkpoint').unlink()

    resume_after(folder, harm)


@situation()
def resuming_where_the_work_dir_has_moved(folder):
    def harm(run):
        (run / 'epoch_2.pth').unlink()
        (run / 'last_checkpoint').write_text('/elsewhere/run/epoch_1.pth')

    resume_after(folder, harm)


@situation()
def resuming_an_empty_work_dir(folder):
    train(folder, '--resume')


@situation()
def a_kill_while_the_only_checkpoint_is_written(folder):
    """``max_keep_ckpts=1``: the old one must stay until the new one is whole."""
    cfg = run_cfg(
        folder, default_hooks=dict(checkpoint=dict(interval=1, max_keep_ckpts=1))
    )
    cfg.dump(folder / 'config.py')
    saved = torch.save

    def save_half(content, path, *args, **kwargs):
        epoch = content.get('meta', {}).get('epoch') if isinstance(content, dict) else 0
        if epoch == 2:
            if hasattr(path, 'write'):
                path.write(b'half')
            else:
                open(path, 'wb').close()
            raise KeyboardInterrupt
        return saved(content, path, *args, **kwargs)

    torch.save = save_half
    try:
        tool('train.py', 'config.py')
    except KeyboardInterrupt:
        pass
    finally:
        torch.save = saved
    readable = []
    for path in (folder / 'run').glob('*.pth'):
        try:
            load(path)
            readable.append(path.name)
        except Exception:
            continue
    if not readable:
        raise doings.Lost('no checkpoint is left')
    tool('train.py', 'config.py', '--resume')
    assert load(folder / 'run' / 'epoch_2.pth')['meta']['epoch'] == 2


@situation()
def two_configs_of_a_chain_in_one_work_dir(folder):
    """Each is trained, in a folder of its own, or they are refused."""
    run_cfg(folder).dump(folder / 'a.py')
    run_cfg(folder, optim_wrapper=dict(optimizer=dict(lr=0.02))).dump(folder / 'b.py')
    try:
        script('train_chain.sh', 'a.py', 'b.py', '--work-dir', 'both')
    except SystemExit as error:
        assert 'work-dir' in str(error.code), error.code
        return
    found = {path.parent.name for path in (folder / 'both').rglob('epoch_2.pth')}
    assert found == {'a', 'b'}, found


@situation()
def a_log_that_was_cut_off(folder):
    """Of a run that was killed while it wrote a line."""
    for seed in '01':
        doings.log(folder / 'logs' / seed / 'kd', 'accuracy/top1', 70.0)
    (path,) = (folder / 'logs' / '1').rglob('scalars.json')
    path.write_text(path.read_text() + '{"accuracy/top1": 7')
    tool('analysis_tools/compare_seeds.py', 'logs', '--metrics', 'accuracy/top1')
