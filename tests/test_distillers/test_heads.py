"""What upstream's heads make: the rows of the loss, exactly, or a refusal by name."""

import copy
import warnings
from types import SimpleNamespace

import mmdet.models
import mmpretrain.models
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import InstanceData, PixelData
from tiny import (
    build,
    cascade_rcnn,
    classifier,
    dense,
    detection_batch,
    distiller,
    faster_rcnn,
    image_batch,
    mask_rcnn,
    merged,
    save_weights,
)

import luminet_mm.losses
from luminet_mm.config import load_model_cfg
from luminet_mm.distillers.sources import (
    ClassifierSource,
    DenseSource,
    QuerySource,
    Rows,
    TwoStageSource,
    refusal,
)
from luminet_mm.distillers.sources.priors import check_heads, quality_maps
from luminet_mm.distillers.sources.two_stage import RoIRows
from luminet_mm.losses import BoxLoss, LogitLoss

ALL = ('logits', 'deltas', 'objectness')
SQUARE = ((96, 96), (96, 96))


def zoo(path, **overrides):
    """A detector of mmdet's zoo, its layers narrow, with a tiny ResNet before it."""
    cfg = load_model_cfg(dict(cfg_path=f'mmdet::{path}.py', _scope_='mmdet'), 'model')
    cfg = _narrow(cfg)
    indices = cfg['backbone'].get('out_indices', (0, 1, 2, 3))
    cfg['backbone'] = dict(
        type='ResNet',
        depth=18,
        base_channels=8,
        stem_channels=8,
        num_stages=4,
        out_indices=indices,
    )
    neck = cfg['neck'][0] if isinstance(cfg['neck'], list) else cfg['neck']
    channels = [8 * 2**index for index in indices]
    several = isinstance(neck['in_channels'], (list, tuple))
    neck['in_channels'] = channels if several else channels[-1]
    if 'rpn_proposal' in (cfg.get('train_cfg') or {}):
        cfg['train_cfg']['rpn_proposal'].update(nms_pre=100, max_per_img=60)
    return merged(cfg, overrides)


def _narrow(value, key=''):
    if isinstance(value, dict):
        return type(value)({k: _narrow(v, k) for k, v in value.items()})
    if isinstance(value, (list, tuple)) and 'channels' not in key:
        return type(value)(_narrow(v, key) for v in value)
    if isinstance(value, int) and 'channels' in key:
        return min(value, 32)
    return min(value, 3) if key == 'num_classes' else value


def csp(path, **backbone):
    """A YOLOX or RTMDet."""
    cfg = load_model_cfg(dict(cfg_path=f'mmdet::{path}.py', _scope_='mmdet'), 'model')
    norm = dict(norm_cfg=dict(type='BN'))
    return merged(
        cfg,
        dict(
            data_preprocessor=dict(batch_augments=None),
            backbone=dict(widen_factor=0.125, init_cfg=None, **norm, **backbone),
            neck=dict(in_channels=[32, 64, 128], out_channels=32, **norm),
            bbox_head=dict(num_classes=3, in_channels=32, feat_channels=32, **norm),
        ),
    )


def ssd():
    path = 'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py'
    return dict(cfg_path=path, _scope_='mmdet', bbox_head=dict(num_classes=3))


def sampler(**cfg):
    return faster_rcnn(train_cfg=dict(rcnn=dict(sampler=cfg)))


def with_head(cfg=None, **head):
    """A classifier with another head."""
    cfg = dict(classifier(), **(cfg or {}))
    cfg['head'] = dict(dict(num_classes=5, in_channels=64), **head)
    return cfg


def vit_of_two_tokens():
    arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
    backbone = dict(
        type='DistilledVisionTransformer', arch=arch, img_size=32, patch_size=16
    )
    cfg = dict(backbone=backbone, neck=None)
    return with_head(cfg, type='DeiTClsHead', in_channels=24)


def conformer():
    arch = dict(embed_dims=24, channel_ratio=1, num_heads=2, depths=12)
    cfg = dict(backbone=dict(type='Conformer', arch=arch), neck=None)
    return with_head(cfg, type='ConformerHead', in_channels=[256, 24])


def trained(cfg, seed=0):
    """A model that runs as in training, but for what depends on the batch or chance."""
    model = build(cfg, seed).train()
    for module in model.modules():
        if any(each in type(module).__name__ for each in ('Norm', 'Drop')):
            module.eval()
    return model


def own_rows(model, source, batch, compared=('logits',)):
    """What a model predicts in its own loss, and as its own teacher."""
    source.compared = frozenset(compared)
    source.check_model(model, 'model.student')
    source.check_model(model, 'model.teacher')
    source.check(model, model, 'model.teacher')
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    with source.observe(model, data['data_samples']) as rows:
        model(**data, mode='loss')
    with torch.no_grad():
        taught = source.teach(model.eval(), data['inputs'], rows)
    source.check_rows(model, rows, len(data['inputs']))
    return rows, taught


@pytest.fixture(autouse=True)
def quiet(message_hub):
    """The epoch that TOOD's loss asks for, and no word about what is deprecated."""
    message_hub.update_info('epoch', 0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def panoptic_batch():
    batch = detection_batch(sizes=[(96, 128)] * 2, masks=True)
    for sample in batch['data_samples']:
        sample.gt_sem_seg = PixelData(sem_seg=torch.randint(0, 5, (1, 96, 128)))
    return batch


def proposal_batch():
    batch = detection_batch()
    boxes = torch.tensor([[0.0, 0, 40, 40], [10, 10, 60, 60]])
    for sample in batch['data_samples']:
        sample.proposals = InstanceData(bboxes=boxes.clone())
    return batch


SEMANTIC = dict(roi_head=dict(semantic_head=dict(num_classes=5)))
HTC = 'htc/htc-without-semantic_r50_fpn_1x_coco'


def htc_of_hard_rois():
    """Its samplers ask the box head after the loss, too, for the masks."""
    cfg = zoo(HTC)
    for stage in cfg['train_cfg']['rcnn']:
        stage['sampler'].update(type='OHEMSampler', num=16)
    return cfg


TWO_STAGE = {
    'faster_rcnn': (faster_rcnn, ALL),
    'mask_rcnn': (mask_rcnn, ALL),
    'cascade': (cascade_rcnn, ALL),
    'ohem': (lambda: sampler(type='OHEMSampler', num=16), ALL),
    'ohem_all': (lambda: sampler(type='OHEMSampler', num=32), ALL),
    'score_hlr': (lambda: zoo('pisa/faster-rcnn_r50_fpn_pisa_1x_coco'), ALL),
    'libra': (lambda: zoo('libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco'), ALL),
    'dynamic': (lambda: zoo('dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco'), ALL),
    'double_head': (lambda: zoo('double_heads/dh-faster-rcnn_r50_fpn_1x_coco'), ALL),
    'sabl': (lambda: zoo('sabl/sabl-faster-rcnn_r50_fpn_1x_coco'), ('logits',)),
    'grid': (lambda: zoo('grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco'), ('logits',)),
    'groie': (lambda: zoo('groie/faste-rcnn_r50_fpn_groie_1x_coco'), ALL),
    'cascade_rpn': (
        lambda: zoo('cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco'),
        ('logits',),
    ),
    'mask_scoring': (lambda: zoo('ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco'), ALL),
    'point_rend': (
        lambda: zoo('point_rend/point-rend_r50-caffe_fpn_ms-1x_coco'),
        ALL,
    ),
    'panoptic': (lambda: zoo('panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco'), ALL),
    'htc_ohem': (htc_of_hard_rois, ALL),
    'htc': (lambda: zoo('htc/htc_r50_fpn_1x_coco', **SEMANTIC), ALL),
    'scnet': (lambda: zoo('scnet/scnet_r50_fpn_1x_coco', **SEMANTIC), ALL),
    'fast_rcnn': (lambda: zoo('fast_rcnn/fast-rcnn_r50_fpn_1x_coco'), ALL[:2]),
}


@pytest.mark.parametrize('name', TWO_STAGE)
def test_rois_of_the_loss(name):
    make, compared = TWO_STAGE[name]
    batch = {
        'panoptic': panoptic_batch,
        'htc': panoptic_batch,
        'scnet': panoptic_batch,
        'fast_rcnn': proposal_batch,
    }.get(name, lambda: detection_batch(masks=True))()
    rows, taught = own_rows(trained(make()), TwoStageSource(), batch, compared)
    assert len(rows.logits) == len(rows.rois) == len(rows.labels) > 0
    assert 0 < (rows.labels < 3).sum() < len(rows.labels)
    for prediction in compared:
        assert getattr(rows, prediction).requires_grad
        assert torch.equal(getattr(rows, prediction), getattr(taught, prediction))


def test_hard_rois_are_those_sampled():
    """As many as the sampler was asked for, of all images, with the boxes and labels
    that the loss was given."""
    model, given = trained(sampler(type='OHEMSampler', num=8)), []
    head = model.roi_head.bbox_head
    upstream = head.loss_and_target
    head.loss_and_target = lambda **kwargs: given.append(kwargs) or upstream(**kwargs)
    rows, _ = own_rows(model, TwoStageSource(), detection_batch(), ALL)
    (call,) = given
    assert len(rows.rois) == 2 * 8
    assert rows.rois is call['rois']
    assert rows.logits is call['cls_score']
    sampled = call['sampling_results']
    assert torch.equal(
        rows.labels[rows.labels < 3],
        torch.cat([each.pos_gt_labels for each in sampled]),
    )


DENSE = {
    'retinanet': lambda: dense('retinanet'),
    'fcos': lambda: dense('fcos'),
    'atss': lambda: dense('atss'),
    'gfl': lambda: dense('gfl'),
    'vfnet': lambda: dense('vfnet'),
    'tood': lambda: zoo('tood/tood_r50_fpn_1x_coco'),
    'paa': lambda: zoo('paa/paa_r50_fpn_1x_coco'),
    'autoassign': lambda: zoo('autoassign/autoassign_r50-caffe_fpn_1x_coco'),
    'free_anchor': lambda: zoo('free_anchor/freeanchor_r50_fpn_1x_coco'),
    'foveabox': lambda: zoo('foveabox/fovea_r50_fpn_4xb4-1x_coco'),
    'fsaf': lambda: zoo('fsaf/fsaf_r50_fpn_1x_coco'),
    'reppoints': lambda: zoo('reppoints/reppoints-moment_r50_fpn_1x_coco'),
    'pisa': lambda: zoo('pisa/retinanet-r50_fpn_pisa_1x_coco'),
    'nas_fcos': lambda: zoo(
        'nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco'
    ),
    'centernet_update': lambda: zoo(
        'centernet/centernet-update_r50-caffe_fpn_ms-1x_coco'
    ),
    'yolof': lambda: zoo('yolof/yolof_r50-c5_8xb8-1x_coco'),
    'rpn': lambda: zoo('rpn/rpn_r50_fpn_1x_coco'),
    'condinst': lambda: zoo('condinst/condinst_r50_fpn_ms-poly-90k_coco_instance'),
    'yolox': lambda: csp('yolox/yolox_tiny_8xb8-300e_coco'),
    'rtmdet': lambda: csp('rtmdet/rtmdet_tiny_8xb32-300e_coco', deepen_factor=0.167),
    'ssd': ssd,
    'ddod': lambda: zoo('ddod/ddod_r50_fpn_1x_coco'),
    'yolact': lambda: zoo('yolact/yolact_r50_1xb8-55e_coco'),
    'rtmdet_ins': lambda: csp(
        'rtmdet/rtmdet-ins_tiny_8xb32-300e_coco', deepen_factor=0.167
    ),
}
SIZES = dict.fromkeys(('ssd', 'ddod'), ((320, 320), (320, 320)))  # their least
WITH_MASKS = ('condinst', 'yolact', 'rtmdet_ins')
WITHOUT_CLASSES = {
    'vfnet',
    'autoassign',
    'free_anchor',
    'centernet_update',
    'yolox',
    'ssd',
}


@pytest.mark.parametrize('name', DENSE)
def test_maps_of_the_loss(name):
    sizes, masks = SIZES.get(name, SQUARE), name in WITH_MASKS
    rows, taught = own_rows(
        trained(DENSE[name]()), DenseSource(), detection_batch(sizes, masks=masks)
    )
    assert rows.logits.requires_grad
    assert torch.equal(rows.logits, taught.logits)
    assert (rows.labels is None) == (name in WITHOUT_CLASSES)


OWN_BOXES = {'foveabox', 'reppoints'}
WITH_QUALITY = {
    'fcos',
    'atss',
    'ddod',
    'paa',
    'autoassign',
    'nas_fcos',
    'condinst',
    'yolox',
}


@pytest.mark.parametrize('name', sorted({*DENSE} - OWN_BOXES))
def test_boxes_are_those_of_testing(name):
    """The sides give the corners that upstream finds before its NMS."""
    batch = detection_batch(SIZES.get(name, SQUARE), masks=name in WITH_MASKS)
    compared = ['logits', 'deltas']
    compared += ['sides'] if name == 'gfl' else []
    compared += ['objectness'] if name in WITH_QUALITY else []
    model = trained(DENSE[name]())
    if name == 'yolox':  # else its first boxes are beyond float32
        for conv in model.bbox_head.multi_level_conv_reg:
            torch.nn.init.zeros_(conv.weight)
            torch.nn.init.normal_(conv.bias)
    rows, taught = own_rows(model, DenseSource(num_rows=20), batch, compared)
    for prediction in compared:
        made = getattr(rows, prediction)
        assert torch.equal(made, getattr(taught, prediction)), prediction
        assert made.requires_grad and made.isfinite().all()
    assert rows.deltas.shape == (40, 4)
    assert ((rows.weights >= 0) & (rows.weights <= 1)).all()

    if name in ('ssd', 'yolact'):  # which test in ways of their own
        return
    head = model.eval().bbox_head
    head.with_score_voting = False  # PAA's moves boxes
    inputs = model.data_preprocessor(copy.deepcopy(batch))['inputs']
    meta = dict(img_shape=(10**6, 10**6), scale_factor=(1, 1), ori_shape=(96, 96))
    nms = dict(type='nms', iou_threshold=1.0)  # which leaves all
    cfg = dict(score_thr=-1.0, nms_pre=10**6, max_per_img=10**6, nms=nms)
    cfg = Config(dict(mask_thr_binary=0.5, **cfg))
    found = head.predict_by_feat(
        *head(model.extract_feat(inputs)),
        batch_img_metas=[meta] * 2,
        cfg=cfg,
        rescale=False,
    )
    boxes = torch.cat([each.bboxes for each in found]).clamp(min=0)
    start, size = priors_by_counting(rows, head)
    made = torch.cat(
        [start - rows.deltas[:, :2] * size, start + rows.deltas[:, 2:] * size], dim=1
    ).clamp(min=0)  # where the image begins, most of upstream's end
    nearest = torch.cdist(made, boxes, p=float('inf')).amin(dim=1)
    assert (nearest <= 1e-3 * (1 + boxes.abs().max())).all()


def priors_by_counting(rows, head):
    """Centre and size of each row's prior, each of shape (N, 2)."""
    sizes = [level.shape[2:] for level in rows.maps]
    levels = head.prior_generator.grid_priors(sizes, device='cpu')
    found, first = [], 0
    for priors, stride in zip(levels, head.prior_generator.strides):
        mask = rows.chosen[:, first : first + len(priors)]
        first += len(priors)
        for image in mask:
            for prior in priors[image]:
                if len(prior) == 2:
                    found.append((prior, torch.tensor(stride) * 8))
                else:
                    found.append(((prior[:2] + prior[2:]) / 2, prior[2:] - prior[:2]))
    return map(torch.stack, zip(*found))


def test_labels_are_their_own_priors():
    """PISA's loss flattens image by image, RetinaNet's level by level, of the same
    priors with the same classes."""
    cfg = zoo('pisa/retinanet-r50_fpn_pisa_1x_coco')
    plain = merged(cfg, dict(bbox_head=dict(type='RetinaHead')))
    rows = [
        own_rows(trained(each), DenseSource('all'), detection_batch(SQUARE))[0]
        for each in (cfg, plain)
    ]
    assert torch.equal(rows[0].assigned, rows[1].assigned)
    assert not torch.equal(*rows[0].assigned)
    assert torch.equal(rows[0].labels, rows[1].labels)


def test_probabilities_become_their_logits():
    model = trained(zoo('tood/tood_r50_fpn_1x_coco'))
    rows, taught = own_rows(model, DenseSource('all'), detection_batch(SQUARE))
    maps = model.bbox_head(
        model.extract_feat(model.data_preprocessor(detection_batch(SQUARE))['inputs'])
    )[0]
    scores = torch.cat([m.permute(0, 2, 3, 1).reshape(-1, 3) for m in maps])
    torch.testing.assert_close(rows.logits[:, :3].sigmoid(), scores)
    assert rows.logits[:, :3].min() < 0
    # beside a head of logits
    teacher = build(zoo('atss/atss_r50_fpn_1x_coco'), seed=1).eval()
    inputs = model.data_preprocessor(detection_batch(SQUARE))['inputs']
    rows.chosen = None
    assert DenseSource('all').teach(teacher, inputs, rows).logits.shape == (
        rows.logits.shape
    )
    torch.testing.assert_close(rows.logits[:, :3].sigmoid(), scores)


@pytest.mark.parametrize('name', ['fcos', 'yolox', 'paa'])
def test_confident_rows_are_those_of_testing(name):
    """Classes times centreness, objectness or IoU."""
    model = trained(DENSE[name]())
    batch = detection_batch(SQUARE)
    rows, _ = own_rows(model, DenseSource(num_rows=9), batch)
    output = model.bbox_head(
        model.extract_feat(model.data_preprocessor(batch)['inputs'])
    )
    by_class, quality = (
        torch.cat(
            [level.sigmoid().amax(dim=1).flatten(1) for level in output[index]], dim=1
        )
        for index in (0, 2)
    )
    best = (by_class * quality).topk(9, dim=1).indices
    assert rows.chosen.gather(1, best).all()
    assert not rows.chosen.gather(1, by_class.topk(9, dim=1).indices).all()


@pytest.mark.parametrize('name', ['reppoints', 'vfnet'])
def test_what_stands_third_may_be_no_quality(name):
    """Boxes and points have more channels than priors."""
    model = trained(DENSE[name]())
    output = model.bbox_head(model.extract_feat(torch.rand(2, 3, 96, 96)))
    assert len(output) == 3
    assert quality_maps(output, model.bbox_head) is None


CLASSIFIERS = {
    'linear': classifier,
    'stacked': lambda: with_head(type='StackedLinearClsHead', mid_channels=[16]),
    'bare': lambda: dict(classifier(), head=dict(type='ClsHead')),
    'vig': lambda: with_head(type='VigClsHead', hidden_dim=16),
    'levit': lambda: with_head(type='LeViTClsHead', distillation=False),
    'conformer': conformer,
    'deit': vit_of_two_tokens,
    'label_smoothing': lambda: with_head(
        type='LinearClsHead', loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1)
    ),
}


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_logits_of_each_image(name):
    batch = image_batch(4, size=64 if name == 'conformer' else 32)
    model = trained(CLASSIFIERS[name]())
    rows, taught = own_rows(model, ClassifierSource(), batch)
    assert torch.equal(rows.logits, taught.logits)
    assert rows.labels.tolist() == [0, 1, 2, 3]
    data = model.data_preprocessor(batch, False)
    predicted = torch.stack([each.pred_score for each in model.predict(**data)])
    torch.testing.assert_close(taught.logits.softmax(dim=1), predicted)


def sigmoids(**loss):
    return with_head(type='LinearClsHead', loss=loss)


SIGMOID_LOSS = dict(
    type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=5, use_sigmoid=True
)


def test_sigmoids_imply_a_background():
    """Each weighs its class against a logit of 0."""
    rows, taught = own_rows(
        trained(sigmoids(**SIGMOID_LOSS)), ClassifierSource(), image_batch(4)
    )
    assert rows.logits.shape == (4, 6)
    assert not rows.logits[:, 5].any()
    assert torch.equal(rows.logits, taught.logits)


@pytest.mark.parametrize(
    'loss', [SIGMOID_LOSS, dict(type='CrossEntropyLoss', use_sigmoid=True)]
)
@pytest.mark.parametrize('swapped', [False, True])
def test_sigmoids_and_softmax_do_not_mix(loss, swapped, tmp_path):
    pair = [classifier(), sigmoids(**loss)][:: -1 if swapped else 1]
    ckpt = save_weights(pair[1], tmp_path / 'teacher.pth')
    sigmoid, softmax = ('student', 'teacher') if swapped else ('teacher', 'student')
    message = (
        f'model.{sigmoid} is trained by sigmoids, its head.loss being a '
        f'{loss["type"]}, and model.{softmax} by a softmax'
    )
    with pytest.raises(ValueError, match=message):
        distiller(*pair, ckpt).init_weights()


@pytest.mark.parametrize('soft', [False, True])
def test_several_labels_of_an_image(soft):
    cfg = sigmoids(type='CrossEntropyLoss', use_sigmoid=True) if soft else classifier()
    batch = image_batch(2)
    if soft:
        for sample in batch['data_samples']:
            sample.set_gt_score(torch.tensor([1.0, 1, 0, 0, 0]))
    else:  # as many as images
        batch['data_samples'][0].set_gt_label([1, 2])
        batch['data_samples'][1].set_gt_label([])
    model = trained(cfg)
    data = model.data_preprocessor(batch, False)
    source = ClassifierSource()
    message = 'more or fewer labels than one, and LinearClsHead takes one label each'
    with pytest.raises(ValueError, match=message):
        with source.observe(model, data['data_samples']):
            model(**data, mode='loss')


def test_objects_of_a_wrapped_model():
    """What HuggingFace's models return holds the logits."""

    class Wrapped(torch.nn.Module):
        num_labels = 5

        def forward(self, inputs):
            return SimpleNamespace(logits=inputs.mean(dim=(2, 3)) @ torch.ones(3, 5))

    class Wrapper(mmpretrain.models.BaseClassifier):
        def __init__(self):
            super().__init__()
            self.model = Wrapped()
            self.loss_module = torch.nn.CrossEntropyLoss()

        def forward(self, inputs, data_samples=None, mode='tensor'):
            logits = self.model(inputs).logits
            return dict(loss=logits.sum()) if mode == 'loss' else logits

        def extract_feat(self, inputs):
            return inputs

        loss = predict = None

    model, source = Wrapper(), ClassifierSource()
    source.check_model(model, 'model.student')
    inputs = torch.rand(2, 3, 8, 8)
    with source.observe(model, image_batch(2)['data_samples']) as rows:
        model(inputs, mode='loss')
    assert torch.equal(rows.logits, source.teach(model, inputs, rows).logits)
    source.check_rows(model, rows, 2)
    assert source.family(model) == 'Wrapper Wrapped CrossEntropyLoss'


def crowddet():
    return zoo('crowddet/crowddet-rcnn_r50_fpn_8xb2-30e_crowdhuman')


def seesaw():
    loss = dict(_delete_=True, type='SeesawLoss', num_classes=3)
    return faster_rcnn(roi_head=dict(bbox_head=dict(loss_cls=loss)))


def two_args():
    """A head that wants texts beside features, as GLIP's."""
    model = build(dense('atss'))
    model.bbox_head.forward = lambda visual_feats, language_feats: None
    return model


REFUSED = {
    'sabl': (
        DenseSource,
        lambda: zoo('sabl/sabl-retinanet_r50_fpn_1x_coco'),
        'bbox_head is a SABLRetinaHead, which has no prior_generator',
    ),
    'guided_anchors': (
        DenseSource,
        lambda: zoo('guided_anchoring/ga-retinanet_r50_fpn_1x_coco'),
        'bbox_head is a GARetinaHead, which has no prior_generator',
    ),
    'heatmaps': (
        DenseSource,
        lambda: zoo('centernet/centernet_r18_8xb16-crop512-140e_coco'),
        'bbox_head is a CenterNetHead, .* no cls_out_channels and no prior_generator',
    ),
    'yolov3': (
        DenseSource,
        lambda: dict(
            cfg_path='mmdet::yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py',
            _scope_='mmdet',
        ),
        'bbox_head is a YOLOV3Head, which has no cls_out_channels',
    ),
    'solo': (
        DenseSource,
        lambda: zoo('solo/solo_r50_fpn_1x_coco'),
        'is a SOLO without a bbox_head',
    ),
    'texts': (
        DenseSource,
        two_args,
        'is a ATSSHead, which predicts from more than .*: visual_feats, language_feats',
    ),
    'trident': (
        TwoStageSource,
        lambda: dict(
            cfg_path='mmdet::tridentnet/tridentnet_r50-caffe_1x_coco.py',
            _scope_='mmdet',
        ),
        'roi_head is a TridentRoIHead, .* once for every branch',
    ),
    'crowddet': (
        TwoStageSource,
        crowddet,
        'roi_head is a MultiInstanceRoIHead, which predicts several objects',
    ),
    'seesaw': (TwoStageSource, seesaw, 'loss_cls is a SeesawLoss'),
    'no_roi_head': (
        TwoStageSource,
        lambda: faster_rcnn(roi_head=None),
        'roi_head is None, and the rows are its RoIs',
    ),
    'multi_label': (
        ClassifierSource,
        lambda: with_head(type='MultiLabelLinearClsHead'),
        'head is a MultiLabelLinearClsHead, which says of each class by a sigmoid',
    ),
    'csra': (
        ClassifierSource,
        lambda: with_head(dict(neck=None), type='CSRAClsHead', num_heads=1, lam=0.1),
        'head is a CSRAClsHead, which says of each class by a sigmoid',
    ),
    'multi_task': (
        ClassifierSource,
        lambda: dict(
            classifier(),
            head=dict(
                type='MultiTaskHead',
                task_heads=dict(
                    one=dict(type='LinearClsHead', num_classes=5, in_channels=64)
                ),
            ),
        ),
        'head is a MultiTaskHead, which predicts several tasks',
    ),
    'margin': (
        ClassifierSource,
        lambda: with_head(type='ArcFaceClsHead'),
        'head is a ArcFaceClsHead, which changes its logits by the labels',
    ),
    'distilled': (
        ClassifierSource,
        lambda: with_head(type='EfficientFormerClsHead'),
        'EfficientFormerClsHead, .* set model.student.head.distillation=False',
    ),
    'headless': (
        ClassifierSource,
        lambda: dict(classifier(), head=None),
        'head is None: the ImageClassifier gives features',
    ),
}


@pytest.mark.parametrize('name', REFUSED)
def test_refused_by_name(name):
    source, make, message = REFUSED[name]
    made = make()
    model = made if isinstance(made, torch.nn.Module) else build(made)
    assert source.fits(model)
    with pytest.raises(ValueError, match=message) as error:
        source().check_model(model, 'model.student')
    assert len(str(error.value)) < 300


def test_distilled_head_teaches():
    """mmpretrain only cannot train it."""
    for head in ('EfficientFormerClsHead', 'LeViTClsHead'):
        teacher = build(with_head(type=head)).eval()
        ClassifierSource().check_model(teacher, 'model.teacher')
        inputs = torch.rand(2, 3, 32, 32)
        taught = ClassifierSource().teach(teacher, inputs, Rows())
        assert taught.logits.shape == (2, 5)


@pytest.mark.parametrize(
    ('name', 'compared', 'message'),
    [
        ('sabl', 'deltas', 'bbox_head.bbox_coder is a BucketingBBoxCoder, and only'),
        ('grid', 'deltas', 'bbox_head is a Shared2FCBBoxHead with_reg=False, and only'),
        ('cascade_rpn', 'objectness', 'rpn_head is a CascadeRPNHead, and only'),
    ],
)
def test_predictions_refused_by_name(name, compared, message):
    source, model = TwoStageSource(), build(TWO_STAGE[name][0]())
    source.check_model(model, 'model.teacher')
    source.compared |= {compared}
    with pytest.raises(ValueError, match=rf'model.teacher\..*{message}'):
        source.check_model(model, 'model.teacher')


@pytest.mark.parametrize(
    ('name', 'compared', 'message'),
    [
        ('foveabox', 'deltas', 'FoveaHead, which regresses boxes in a way of its own'),
        ('reppoints', 'deltas', 'RepPointsHead, which regresses boxes in a way of its'),
        ('atss', 'sides', "ATSSHead, which predicts no distrib.*compares 'sides' from"),
        (
            'gfl',
            'objectness',
            'GFLHead, which has none of conv_centerness, .*, so noth',
        ),
    ],
)
def test_dense_predictions_refused_by_name(name, compared, message):
    with pytest.raises(ValueError, match=rf'model.student\..*{message}'):
        own_rows(
            trained(DENSE[name]()), DenseSource(), detection_batch(SQUARE), [compared]
        )


def test_distributions_of_other_bins():
    source = DenseSource()
    source.compared |= {'sides'}
    models = (build(dense('gfl')), build(dense('gfl', bbox_head=dict(reg_max=8))))
    with pytest.raises(
        ValueError, match='distributions up to 16 .* and the teacher up'
    ):
        source.check(*models, 'model.teacher')


class Multimodal(BaseModel):
    __module__ = 'mmpretrain.models.multimodal.clip.clip'
    forward = None


@pytest.mark.parametrize(
    ('cls', 'message'),
    [
        (mmpretrain.models.MAE, 'self-supervised'),
        (mmpretrain.models.ImageToImageRetriever, 'retrievers compare features'),
        (Multimodal, 'models of images and texts'),
        (mmdet.models.QueryInst, 'its queries are boxes of an R-CNN'),
        (mmdet.models.Mask2Former, 'its queries are boxes of an R-CNN or masks'),
        (mmdet.models.SoftTeacher, 'semi-supervised'),
        (mmdet.models.ByteTrack, 'trackers'),
        (mmdet.models.ResNet, 'it must be an image classifier of mmpretrain'),
    ],
)
def test_no_family(cls, message):
    model = cls.__new__(cls)  # its class alone decides
    torch.nn.Module.__init__(model)
    if cls is mmdet.models.QueryInst:
        model.roi_head = mmdet.models.SparseRoIHead.__new__(mmdet.models.SparseRoIHead)
    for source in (ClassifierSource, DenseSource, QuerySource, TwoStageSource):
        assert not source.fits(model)
    assert message in refusal(model)


@pytest.mark.parametrize(
    ('overrides', 'message'),
    [
        (dict(scales_per_octave=2), r'priors at each location: \[9\] of .* \[6\] of'),
        (
            dict(octave_base_scale=8),
            r'priors at each location: \[-22.*\] of the student .* \[-45.*\] of the',
        ),
    ],
)
def test_anchors_that_differ_are_named_shortly(overrides, message):
    heads = [
        build(dense('retinanet', bbox_head=dict(anchor_generator=each))).bbox_head
        for each in ({}, overrides)
    ]
    with pytest.raises(ValueError, match=message) as error:
        check_heads(*heads, 'model.student.bbox_head', 'model.teacher.bbox_head')
    assert len(str(error.value)) < 400


@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_stage_of_a_detector_of_one(role):
    source = TwoStageSource(**{f'{role}_stage': 1})
    message = f'model.source.{role}_stage=1: the {role} has one stage'
    with pytest.raises(ValueError, match=message):
        source.check_model(build(faster_rcnn()), f'model.{role}')


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: DenseSource(num_rows='512'), "model.source.num_rows='512' must be an"),
        (lambda: DenseSource(rows=3), 'model.source.rows=3 must be one of'),
        (lambda: TwoStageSource(num_anchors=2.5), 'model.source.num_anchors=2.5 must'),
        (
            lambda: TwoStageSource(teacher_stage=-1),
            'model.source.teacher_stage=-1 must',
        ),
        (lambda: TwoStageSource(student_stage=True), 'model.source.student_stage=True'),
    ],
)
def test_wrong_setting(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (dict(logits=None), 'Shared2FCBBoxHead gives NoneType, not one matrix'),
        (dict(logits=(1, 2)), 'gives tuple, not one matrix of logits'),
        (dict(logits=torch.ones(6, 4).long()), 'gives torch.int64, not one matrix'),
        (dict(logits=torch.zeros(6, 8)), r'shape \(6, 8\), not \(6, 4\): a row for'),
        (dict(logits=torch.zeros(5, 4)), r'shape \(5, 4\), not \(6, 4\)'),
        (dict(logits=torch.full((6, 4), float('nan'))), 'logits that are not finite'),
        (dict(labels=torch.zeros(3).long()), r'labels of shape \(3,\) and torch.int64'),
        (dict(labels=torch.zeros(6)), 'torch.float32 for 6 rows, not a class index'),
        (dict(labels=torch.full((6,), 4)), 'labels from 4 to 4 for 4 columns'),
        (dict(labels=torch.full((6,), -1)), 'labels from -1 to -1 for 4 columns'),
        (
            dict(rois=torch.full((6, 5), 2.0)),
            'RoIs of images 2 to 2, and the batch has',
        ),
    ],
)
def test_rows_that_are_not_what_they_seem(changed, message):
    rows = dict(
        logits=torch.zeros(6, 4), labels=torch.zeros(6).long(), rois=torch.ones(6, 5)
    )
    source, model = TwoStageSource(), build(faster_rcnn())
    source.check_rows(model, RoIRows(**rows), 2)
    with pytest.raises(ValueError, match=message):
        source.check_rows(model, RoIRows(**merged(rows, changed)), 2)


@pytest.mark.parametrize(
    ('source', 'make', 'message'),
    [
        (DenseSource, lambda: dense('retinanet'), 'bbox_head: RetinaHead ran 2 times'),
        (ClassifierSource, classifier, 'model.student: LinearClsHead ran 2 times'),
    ],
)
def test_head_that_runs_twice(source, make, message):
    model = trained(make())
    with pytest.raises(ValueError, match=message):
        with source().observe(model, []):
            for _ in range(2):
                part = model.bbox_head if source is DenseSource else model.head
                part(model.extract_feat(torch.rand(1, 3, 64, 64)))


@pytest.mark.parametrize(
    ('source', 'make', 'names'),
    [
        (
            TwoStageSource,
            faster_rcnn,
            'FasterRCNN StandardRoIHead Shared2FCBBoxHead DeltaXYWHBBoxCoder '
            'CrossEntropyLoss RandomSampler SingleRoIExtractor RPNHead',
        ),
        (
            TwoStageSource,
            cascade_rcnn,
            'CascadeRCNN CascadeRoIHead Shared2FCBBoxHead DeltaXYWHBBoxCoder '
            'CrossEntropyLoss RandomSampler SingleRoIExtractor RPNHead',
        ),
        (
            DenseSource,
            lambda: dense('gfl'),
            'GFL GFLHead AnchorGenerator QualityFocalLoss',
        ),
        (
            ClassifierSource,
            classifier,
            'ImageClassifier LinearClsHead CrossEntropyLoss',
        ),
    ],
)
def test_family(source, make, names):
    assert source().family(build(make())) == names


LOSSES = [
    value
    for value in vars(luminet_mm.losses).values()
    if isinstance(value, type) and issubclass(value, LogitLoss) and value != LogitLoss
]


def all_losses(source):
    """Every loss of every prediction that it can compare."""
    losses = {}
    for loss in LOSSES:
        name = loss.__name__
        if loss is not BoxLoss or source == 'TwoStageSource':
            losses[f'loss_{name}'] = dict(type=f'luminet_mm.{name}')
    return losses


def step(cfg, batch, tmp_path, **kwargs):
    model = distiller(
        cfg, cfg, save_weights(cfg, tmp_path / 'teacher.pth', seed=1), **kwargs
    )
    return model, model.loss(**model.data_preprocessor(batch, True))


def without_objects(batch):
    for sample in batch['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    return batch


def check_zero(model, losses, names, parameter):
    parameter = model.student.get_parameter(parameter)
    for name in names:
        assert losses[name] == 0
        (grad,) = torch.autograd.grad(losses[name], parameter, retain_graph=True)
        assert not grad.any()


def test_no_roi_at_all(tmp_path):
    """Of images without objects whose proposals are all too small."""
    cfg = faster_rcnn(train_cfg=dict(rpn_proposal=dict(min_bbox_size=10000)))
    names = all_losses('TwoStageSource')
    model, losses = step(
        cfg, without_objects(detection_batch()), tmp_path, distill_losses=names
    )
    head = 'roi_head.bbox_head.fc_'
    check_zero(model, losses, set(names) - {'loss_BoxLoss'}, f'{head}cls.weight')
    check_zero(model, losses, {'loss_BoxLoss'}, f'{head}reg.weight')


def test_one_row(tmp_path):
    """Finite, whatever the loss: of one RoI, of one prior, of one image."""
    sampler = dict(num=1, add_gt_as_proposals=False)
    one_roi = faster_rcnn(train_cfg=dict(rcnn=dict(sampler=sampler)))
    one = detection_batch([(96, 128)])
    names = all_losses('TwoStageSource')
    model, losses = step(one_roi, one, tmp_path, distill_losses=names)
    assert len(model.look(**model.data_preprocessor(one, True))[0].logits) == 1
    assert all(losses[name].isfinite() for name in names)

    names = all_losses('DenseSource')
    for cfg, batch, source in (
        (dense('retinanet'), one, dict(type='DenseSource', num_rows=1)),
        (classifier(), image_batch(1), None),
    ):
        model, losses = step(cfg, batch, tmp_path, distill_losses=names, source=source)
        assert all(losses[name].isfinite() for name in names)
        sum(losses[name] for name in names).backward()
        for parameter in model.student.parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all()
