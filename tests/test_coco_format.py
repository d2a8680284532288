"""docs/detection.md from its first step to its last, on four small images."""

import ast
import os.path as osp
import re
import shlex
import shutil
import subprocess

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from pages import block_of, edit, replace, run_block, without_luminet
from test_tools import ROOT, UPSTREAM, tool, weights
from tiny import build, coco_set, faster_rcnn, save_weights

from luminet_mm.cfg_options import load_run_cfg, parse_value
from luminet_mm.config import load_model_cfg
from luminet_mm.logs import read_last_test
from luminet_mm.registry import MODELS

PAGE = 'detection.md'
CLASSES = ('apple', 'pear', 'plum')
# How to narrow the zoo's model of a role
MODELS_OF = dict(
    teacher=dict(
        backbone=dict(base_channels=16), neck=dict(in_channels=[16, 32, 64, 128])
    ),
    student=dict(),
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Where the page starts: images with boxes, and copies of the configs that say
    what is the user's own."""
    monkeypatch.chdir(tmp_path)
    data_root = tmp_path / 'data' / 'fruit'
    coco_set(data_root, classes=CLASSES)
    (data_root / 'annotations').mkdir()
    for split in ('train', 'val'):
        shutil.copy(
            data_root / 'annotations.json', data_root / 'annotations' / f'{split}.json'
        )
    configs = tmp_path / 'configs' / 'fruit'
    shutil.copytree(osp.join(ROOT, 'configs', 'coco_format'), configs)
    data = configs / 'coco_format_data.py'
    edit(data, data_root="'data/fruit/'", max_epochs=1, image_scale=(128, 96))
    replace(
        data,
        ('num_workers=2', 'num_workers=0'),
        ('persistent_workers=True', 'persistent_workers=False'),
    )
    replace(configs / 'coco_format_luminet.py', ('warmup=100', 'warmup=1'))
    for role, overrides in MODELS_OF.items():
        # The zoo's weights are for COCO's classes: their last layers cannot fit
        zoo_model = faster_rcnn(num_classes=80, **overrides)
        model = faster_rcnn(num_classes=len(CLASSES), **overrides)
        assert model.pop('cfg_path').startswith('mmdet::_base_/models/faster-rcnn')
        del model['_scope_']
        edit(
            configs / f'coco_format_{role}.py',
            model=model,
            load_from=repr(save_weights(zoo_model, tmp_path / f'{role}.pth')),
        )
    return tmp_path


def test_from_boxes_to_a_student(project):
    counts = '4 images, boxes: ' + str(dict.fromkeys(CLASSES, 4))
    assert run_block(PAGE, 'Counter') == [f'train {counts}', f'val {counts}']

    for role in ('teacher', 'student'):
        log = tool('train.py', f'configs/fruit/coco_format_{role}.py', cwd=project)
        assert 'size mismatch for roi_head.bbox_head.fc_cls.weight' in log
        assert 'missing keys' not in log  # the rest starts from the zoo's weights
    last_lines = subprocess.run(
        'tail -qn 1 work_dirs/coco_format_{teacher,student}/*/*.log',
        shell=True,
        executable='/bin/bash',
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    assert last_lines.count('coco/bbox_mAP: ') == 2

    log = tool('train.py', 'configs/fruit/coco_format_luminet.py', cwd=project)
    assert 'from work_dirs/coco_format_teacher/epoch_1.pth' in log
    assert 'size mismatch for student.roi_head.bbox_head.fc_cls.weight' in log
    assert 'missing keys' not in log
    number = r'\d+(\.\d+)?'
    assert re.search(
        f'coco/bbox_mAP: student alone {number}, teacher {number}, distilled student '
        f'{number} .* over alone',
        log,
    )

    checkpoint = project / 'work_dirs' / 'coco_format_luminet' / 'epoch_1.pth'
    student = Config.fromfile('configs/fruit/coco_format_student.py')
    trained = weights(checkpoint.parent)
    build(student.model).load_state_dict(trained, strict=True)
    alone = weights(project / 'work_dirs' / 'coco_format_student')
    assert not torch.equal(
        trained['roi_head.bbox_head.fc_cls.weight'],
        alone['roi_head.bbox_head.fc_cls.weight'],
    )

    tool(
        f'{UPSTREAM}/test.py', 'configs/fruit/coco_format_student.py', checkpoint,
        '--work-dir', 'tested', '--cfg-options', 'test_evaluator.classwise=True',
        cwd=project, **without_luminet(project),
    )  # fmt: skip
    tested = read_last_test(project / 'tested')
    assert f'distilled student {tested["coco/bbox_mAP"]:.4g} ' in log
    assert {f'coco/{name}_precision' for name in CLASSES} < set(tested)

    shutil.copy('data/fruit/images/000.png', 'photo.jpg')
    found = [line.split(' ', 2) for line in run_block(PAGE, 'DetInferencer')]
    assert found
    for name, score, box in found:
        assert name in CLASSES
        assert 0 < float(score) < 1
        assert len(ast.literal_eval(box)) == 4
    assert osp.isfile('detected/vis/photo.jpg')


def test_takes_a_model_of_the_zoo(project):
    """A dense detector, in a file that the page's lines write."""
    (load_from,) = run_block(PAGE, 'pretrained=True')
    assert re.fullmatch(r'https://\S+/retinanet_r18_fpn_1x_coco_\S+\.pth', load_from)
    for role in MODELS_OF:
        path = project / 'configs' / 'fruit' / f'coco_format_{role}.py'
        path.write_text(block_of(PAGE, './retinanet_r18.py'))
    student = Config.fromfile(path)
    assert student.model.backbone.init_cfg is None
    ckpt = save_weights(student.model, project / 'teacher.pth')
    cfg = Config.fromfile('configs/fruit/coco_format_luminet.py')
    distiller = MODELS.build({**cfg.model, 'teacher_ckpt': ckpt})
    assert distiller.student.bbox_head.num_classes == len(CLASSES)
    assert distiller.build_teachers()[0].model.backbone.depth == 18
    assert type(distiller.source).__name__ == 'DenseSource'


def test_takes_options():
    """What the page offers behind --cfg-options reaches all that is made of it."""
    with open(osp.join(ROOT, 'docs', PAGE)) as file:
        (command,) = re.findall('`(--cfg-options max_epochs.*?)`', file.read())
    _, *options = shlex.split(command)
    options = {k: parse_value(v) for k, v in (option.split('=') for option in options)}
    options['classes'] = ('apple', 'pear')
    cfg = load_run_cfg(f'{ROOT}/configs/coco_format/coco_format_luminet.py', options)
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].T_max == 3
    assert cfg.model.teacher_ckpt == 'work_dirs/coco_format_teacher/epoch_3.pth'
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        (resize,) = (t for t in loader.dataset.pipeline if t.type == 'Resize')
        assert resize.scale == (667, 400)
        assert loader.dataset.metainfo.classes == ('apple', 'pear')
    for role in ('student', 'teacher'):
        model = load_model_cfg(cfg.model[role], role)
        assert model.roi_head.bbox_head.num_classes == 2


def test_takes_any_stage_of_a_cascade(project):
    configs = project / 'configs' / 'fruit'
    zoo = get_config('mmdet::cascade_rcnn/cascade-rcnn_r101_fpn_1x_coco.py')
    Config(dict(model=zoo.model)).dump(configs / 'cascade_r101.py')
    teacher = configs / 'coco_format_teacher.py'
    teacher.write_text(block_of(PAGE, './cascade_r101.py'))
    path = configs / 'third_stage.py'
    path.write_text(block_of(PAGE, 'teacher_stage'))
    cfg = Config.fromfile(path).model
    heads = load_model_cfg(cfg.teacher, 'model.teacher').roi_head.bbox_head
    assert [head.num_classes for head in heads] == 3 * [len(CLASSES)]
    assert [head.type for head in heads] == 3 * ['Shared2FCBBoxHead']
    assert MODELS.build(cfg).source.teacher_stage == 2


def test_takes_another_loss(project):
    path = project / 'configs' / 'fruit' / 'coco_format_kd.py'
    path.write_text(block_of(PAGE, 'KDLoss'))
    losses = MODELS.build(Config.fromfile(path).model).distill_losses
    assert [type(loss).__name__ for loss in losses.values()] == ['KDLoss']


def test_shipped_weights_are_the_zoos():
    for role, zoo in (('teacher', 'r101_fpn_ms-3x'), ('student', 'r50_fpn_ms-3x')):
        cfg = Config.fromfile(f'{ROOT}/configs/coco_format/coco_format_{role}.py')
        zoo = get_config(
            f'mmdet::faster_rcnn/faster-rcnn_{zoo}_coco.py', pretrained=True
        )
        assert cfg.load_from == zoo.model_path
        head = cfg.model.roi_head.bbox_head
        assert head.num_classes == len(cfg.classes)
        # that is all that differs, but for ImageNet's weights under COCO's
        head.num_classes = zoo.model.roi_head.bbox_head.num_classes
        cfg.model.backbone.init_cfg = zoo.model.backbone.init_cfg
        assert cfg.model == dict(zoo.model, _scope_='mmdet')
