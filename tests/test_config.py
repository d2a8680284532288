"""How the config of a model is found and merged."""

import pytest
from mmengine.config import Config

from luminet_mm.config import load_model_cfg, merge_cfg_options

ZOO = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'


def test_overrides_are_merged():
    model = load_model_cfg(
        dict(
            cfg_path=ZOO,
            backbone=dict(depth=18),
            neck=dict(_delete_=True, type='PAFPN'),
        ),
        'model.student',
    )
    assert model.type == 'FasterRCNN'
    assert (model.backbone.type, model.backbone.depth) == ('ResNet', 18)
    assert dict(model.neck) == dict(type='PAFPN')
    assert model['_scope_'] == 'mmdet'


def test_preprocessor_beside_the_model():
    """mmpretrain's configs keep it there, and its runner merges the two."""
    path = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'
    model = load_model_cfg(dict(cfg_path=path), 'model.teacher')
    assert model.data_preprocessor.num_classes == 10
    own = dict(cfg_path=path, data_preprocessor=dict(num_classes=7))
    assert load_model_cfg(own, 'model.teacher').data_preprocessor.num_classes == 7


def test_users_own_file(tmp_path):
    path = tmp_path / 'own.py'
    path.write_text(f"_base_ = '{ZOO}'\nmodel = dict(backbone=dict(depth=34))\n")
    assert load_model_cfg(dict(cfg_path=str(path)), 'k').backbone.depth == 34
    path.write_text('optimizer = 1\n')
    with pytest.raises(ValueError, match=r"k.cfg_path='.*own.py' defines no `model`"):
        load_model_cfg(dict(cfg_path=str(path)), 'k')


def test_data_root_reaches_nested_places():
    cfg = Config(
        dict(
            data_root='data/coco/',
            loader=dict(datasets=[dict(root='data/coco/', ann='data/coco/a.json')]),
            other='my_data/coco/',
        )
    )
    merge_cfg_options(cfg, {'data_root': '/new', 'loader.workers': 2})
    assert cfg.data_root == '/new/'
    assert cfg.loader.datasets[0].ann == '/new/a.json'
    assert cfg.loader.datasets[0].root == '/new/'
    assert cfg.loader.workers == 2
    assert cfg.other == 'my_data/coco/'
