"""The walk through the model zoos: a sample of it, and what the whole has written."""

import fnmatch
import importlib.util
import os.path as osp
import sys

import mmengine
import pytest
from test_tools import ROOT


@pytest.fixture(scope='module')
def walk():
    path = osp.join(ROOT, 'tools', 'analysis_tools', 'walk_model_zoo.py')
    spec = importlib.util.spec_from_file_location('walk_model_zoo', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope='module')
def results(walk):
    return mmengine.load(walk.RESULTS)


SAMPLE = {
    'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py': 'works',
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_ohem_1x_coco.py': 'works',
    'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py': 'works',
    'mmdet::gfl/gfl_r50_fpn_1x_coco.py': 'works',
    'mmdet::detr/detr_r18_8xb2-500e_coco.py': 'works',
    'mmdet::sabl/sabl-retinanet_r50_fpn_1x_coco.py': 'refused',
    'mmpretrain::deit/deit-tiny_4xb256_in1k.py': 'works',
    'mmpretrain::mobilenet_v3/mobilenet-v3-small_8xb128_in1k.py': 'works',
    'mmpretrain::simsiam/simsiam_resnet50_8xb32-coslr-100e_in1k.py': 'refused',
    'TimmClassifier resnet18': 'works',
    'HuggingFaceClassifier vit': 'works',
    'MultiTaskHead': 'refused',
}


@pytest.mark.parametrize('name', SAMPLE)
def test_sample(walk, results, name):
    import mmdet.models  # noqa: F401
    import mmpretrain.models  # noqa: F401

    result = walk.prove_apart(name, timeout=240)
    assert result['verdict'] == SAMPLE[name], result
    # the whole walk says the same of it
    (recorded,) = (each for each in results if each['config'] == name)
    assert result == recorded


def test_page_and_list_are_of_the_same_walk(walk, results):
    with open(walk.PAGE) as page:
        assert page.read() == walk.page(results)
    with open(walk.FAMILIES) as families:
        assert families.read().split('\n')[:-1] == walk.proven(results)


def test_no_model_is_distilled_wrongly(results):
    assert [r['config'] for r in results if r['verdict'] == 'wrong'] == []


def test_families_of_the_issue_were_walked(results):
    """That the choice of configs leaves out none of what models differ by."""
    for part in (
        *('OHEMSampler', 'ScoreHLRSampler', 'CombinedSampler', 'MultiInstanceRoIHead'),
        *('SABLHead', 'GARetinaHead', 'TridentRoIHead', 'SCNetRoIHead', 'YOLOXHead'),
        *('TOODHead', 'ConformerHead', 'DeiTClsHead', 'CSRAClsHead', 'ArcFaceClsHead'),
    ):
        assert fnmatch.filter([r['family'] for r in results], f'*{part}*'), part


def test_a_wrong_model_is_found(walk, monkeypatch):
    """That the proof can fail: a source that gives the rows in another order."""
    from luminet_mm.distillers.sources import ClassifierSource

    def flipped(teach):
        def wrong(self, teacher, inputs, rows):
            taught = teach(self, teacher, inputs, rows)
            taught.logits = taught.logits.flip(0)
            return taught

        return wrong

    monkeypatch.setattr(ClassifierSource, 'teach', flipped(ClassifierSource.teach))
    result = walk.prove_apart('GeM', timeout=240)
    assert result['verdict'] == 'wrong'
    assert 'not 0 with own weights' in result['remark']
