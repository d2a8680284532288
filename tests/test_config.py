"""How the config of a model is found and merged."""

import pytest
from mmengine.config import Config

from luminet_mm.config import load_cfg, load_model_cfg, load_whole_cfg

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
    with pytest.raises(
        ValueError, match=r"k.cfg_path='.*own.py' defines no dict `model`"
    ):
        load_model_cfg(dict(cfg_path=str(path)), 'k')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'a = [1,\n',
            r"k='.*own.py' cannot be read: SyntaxError in .*own.py: .*line 1",
        ),
        ("_base_ = 'base.py'\n", r'SyntaxError in .*base.py: .*line 2'),
        ("custom_imports = dict(imports='no_module')\n", 'ImportError: .*no_module'),
        ("_base_ = 'none.py'\n", r'FileNotFoundError: .*none.py'),
        ('a = 1\nb = c\n', r"NameError in line 2 of .*own.py: name 'c' is not defined"),
    ],
)
def test_mistakes_in_a_file_are_one_line(text, message, tmp_path):
    (tmp_path / 'base.py').write_text('a = 1\nb = (\n')
    path = tmp_path / 'own.py'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_cfg(str(path), 'k')


@pytest.mark.parametrize(
    ('path', 'message'),
    [('nope.py', 'no such file'), ('.', 'is a folder'), (__file__ + 'x', 'no such')],
)
def test_what_is_no_file_is_named(path, message):
    with pytest.raises(ValueError, match=message):
        load_cfg(path, 'config')


def test_whole_config_names_no_file(tmp_path):
    """And means the same: model, weights of the zoo, weights of the student's file."""
    student = tmp_path / 'student.py'
    student.write_text(f"_base_ = '{ZOO}'\nload_from = 'coco.pth'\n")
    named = dict(
        type='luminet_mm.LogitDistiller',
        student=dict(cfg_path=str(student), backbone=dict(depth=18)),
        teacher=[dict(cfg_path=ZOO), dict(cfg_path=ZOO, backbone=dict(depth=34))],
        teacher_ckpt=[None, 'mine.pth'],
    )
    cfg = Config(dict(model=named))
    whole = load_whole_cfg(cfg)
    assert cfg.model == named
    assert 'cfg_path' not in whole.pretty_text
    assert whole.model.teacher_ckpt == [ZOO, 'mine.pth']
    assert whole.model.teacher == [load_model_cfg(one, 'k') for one in named['teacher']]
    pretrained = dict(type='Pretrained', checkpoint='coco.pth')
    assert whole.model.student.init_cfg == [pretrained]
    assert whole.model.student == load_model_cfg(named['student'], 'k')

    plain = Config(dict(model=dict(type='FasterRCNN')))
    assert load_whole_cfg(plain).model == plain.model

    one = dict(named, teacher=dict(cfg_path=ZOO), teacher_ckpt=None)
    assert load_whole_cfg(Config(dict(model=one))).model.teacher_ckpt == ZOO


def test_a_trained_model_starts_from_its_files_weights(tmp_path):
    path = tmp_path / 'own.py'
    path.write_text(f"_base_ = '{ZOO}'\nload_from = 'coco.pth'\n")
    last = dict(type='Pretrained', checkpoint='coco.pth')
    assert load_model_cfg(dict(cfg_path=str(path)), 'k').init_cfg == [last]
    first = dict(type='Normal', layer='Linear')
    path.write_text(f'{path.read_text()}model = dict(init_cfg={first})')
    assert load_model_cfg(dict(cfg_path=str(path)), 'k').init_cfg == [first, last]
    model = dict(cfg_path=str(path), init_cfg=None)  # what the run says comes first
    assert load_model_cfg(model, 'k').init_cfg is None
    assert 'init_cfg' not in load_model_cfg(dict(cfg_path=ZOO), 'k')


def test_whole_config_leaves_the_preprocessor_to_the_run():
    """The run's comes before that of a student's file; a teacher has its own."""
    mine = dict(type='DetDataPreprocessor', mean=[1.0], std=[2.0])
    student, teacher = dict(cfg_path=ZOO), dict(cfg_path=ZOO)
    for of_run in (dict(data_preprocessor=mine), {}):
        model = dict(student=student, teacher=teacher)
        whole = load_whole_cfg(Config(dict(model=model, **of_run))).model
        assert ('data_preprocessor' in whole.student) == (not of_run)
        assert 'data_preprocessor' in whole.teacher
        model = dict(model, student=dict(student, data_preprocessor=dict(mean=[3.0])))
        whole = load_whole_cfg(Config(dict(model=model, **of_run))).model
        assert whole.student.data_preprocessor.mean == [3.0]


def test_whole_config_of_peers(tmp_path):
    peer = tmp_path / 'peer.py'
    peer.write_text(f"_base_ = '{ZOO}'\n")
    cfg = Config(
        dict(model=dict(student=dict(type='A'), peers=[{'cfg_path': str(peer)}]))
    )
    assert load_whole_cfg(cfg).model.peers[0].type == 'FasterRCNN'
    assert 'teacher_ckpt' not in load_whole_cfg(cfg).model


def test_a_file_with_load_from_and_another_start(tmp_path):
    """Its ``load_from`` comes before all that it says, and after what the run says."""
    file = tmp_path / 'student.py'
    model = dict(type='ImageClassifier', pretrained='b.pth')
    Config(dict(model=model, load_from='a.pth')).dump(str(file))
    resolved = load_model_cfg(dict(cfg_path=str(file)), 'model.student')
    assert resolved.init_cfg == [dict(type='Pretrained', checkpoint='a.pth')]
    assert 'pretrained' not in resolved
    own = dict(type='Pretrained', checkpoint='c.pth')
    resolved = load_model_cfg(dict(cfg_path=str(file), init_cfg=own), 'model.student')
    assert resolved.init_cfg == own


def test_a_whole_config_imports_what_its_models_are_registered_by(tmp_path):
    for role, modules in dict(student=['json', 'math'], teacher=['string']).items():
        (tmp_path / f'{role}.py').write_text(
            f'model = dict(type="ImageClassifier")\n'
            f'custom_imports = dict(imports={modules}, allow_failed_imports=False)\n'
        )
    models = {
        role: dict(cfg_path=str(tmp_path / f'{role}.py'))
        for role in ('student', 'teacher')
    }
    model = dict(type='luminet_mm.LogitDistiller', **models)
    cfg = Config(dict(model=model, custom_imports=dict(imports='math')))
    imports = load_whole_cfg(cfg).custom_imports
    assert imports == dict(
        imports=['math', 'json', 'string'], allow_failed_imports=False
    )
