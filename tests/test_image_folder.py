"""docs/classification.md from its first step to its last, on 24 small images."""

import os.path as osp
import re
import shutil
from urllib.parse import urlparse

import cv2
import mmpretrain
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.hub import get_config
from pages import edit, replace, run_block, without_luminet
from test_tools import ROOT, tool, weights
from tiny import build, save_weights

from luminet_mm.cfg_options import load_run_cfg
from luminet_mm.config import load_model_cfg
from luminet_mm.logs import read_last_test

PAGE = 'classification.md'
UPSTREAM = osp.join(osp.dirname(mmpretrain.__file__), '.mim', 'tools')
CLASSES = ('blue', 'green', 'red')  # the order of OpenCV's channels
# A zoo model for each role, and how to narrow it
MODELS = dict(
    teacher=(
        'mmpretrain::_base_/models/resnet18.py',
        dict(stem_channels=8, base_channels=8),
        dict(in_channels=64),
    ),
    student=(
        'mmpretrain::_base_/models/mobilenet_v2_1x.py',
        dict(widen_factor=0.1),
        dict(),
    ),
)


def draw(root, images_per_class=8, size=40):
    """Images of noise, each with the tint of its class."""
    rng = np.random.RandomState(0)
    for split in ('train', 'val'):
        for channel, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(images_per_class):
                image = rng.randint(0, 100, (size, size, 3), dtype=np.uint8)
                image[..., channel] += 150
                cv2.imwrite(str(folder / f'{index:03}.jpg'), image)


def narrow(role, num_classes):
    """What changes the zoo's model of a role into a small one."""
    _, backbone, head = MODELS[role]
    head = {**head, 'num_classes': num_classes}
    return dict(backbone=backbone, head=head)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Where the page starts: a folder of images, and copies of the configs that
    say what is the user's own."""
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / 'data' / 'flowers')
    configs = tmp_path / 'configs' / 'flowers'
    shutil.copytree(osp.join(ROOT, 'configs', 'image_folder'), configs)
    data = configs / 'folder_data.py'
    edit(data, data_root="'data/flowers/'", num_classes=len(CLASSES), max_epochs=1)
    replace(
        data,
        ('224', '32'),
        ('256', '36'),
        ('batch_size=64', 'batch_size=8'),
        ('num_workers=4', 'num_workers=0'),
        ('persistent_workers=True', 'persistent_workers=False'),
    )
    for role, (zoo, _, _) in MODELS.items():
        # The zoo's weights are for ImageNet's classes: their last layer cannot fit
        zoo_model = dict(cfg_path=zoo, _scope_='mmpretrain', **narrow(role, 1000))
        edit(
            configs / f'folder_{role}.py',
            _base_=f'{["./folder_data.py", zoo]}',
            model=narrow(role, len(CLASSES)),
            load_from=repr(save_weights(zoo_model, tmp_path / f'{role}.pth')),
        )
    return tmp_path


def test_from_a_folder_to_a_student(project):
    counts = f'24 images, 3 classes {CLASSES}'
    assert run_block(PAGE, 'CustomDataset') == [f'train {counts}', f'val {counts}']

    log = tool('train.py', 'configs/flowers/folder_teacher.py', cwd=project)
    assert 'size mismatch for head.fc.weight' in log
    assert 'missing keys' not in log  # all but the head starts from the zoo's weights
    tool('train.py', 'configs/flowers/folder_student.py', cwd=project)
    log = tool(
        'train.py', 'configs/flowers/folder_luminet.py', '--cfg-options',
        'model.teacher.cfg_path=work_dirs/folder_teacher/folder_teacher.py',
        cwd=project,
    )  # fmt: skip
    assert 'from work_dirs/folder_teacher/epoch_1.pth' in log
    assert 'size mismatch for student.head.fc.weight' in log
    assert 'missing keys' not in log
    number = r'\d+(\.\d+)?'
    assert re.search(
        f'accuracy/top1: student alone {number}, teacher {number}, distilled student '
        f'{number} .* over alone',
        log,
    )

    checkpoint = project / 'work_dirs' / 'folder_luminet' / 'epoch_1.pth'
    student = Config.fromfile('configs/flowers/folder_student.py')
    model = build(dict(student.model, data_preprocessor=student.data_preprocessor))
    model.load_state_dict(weights(checkpoint.parent), strict=True)

    tool(
        f'{UPSTREAM}/test.py', 'configs/flowers/folder_student.py', checkpoint,
        '--work-dir', 'tested', cwd=project, **without_luminet(project),
    )  # fmt: skip
    tested = read_last_test(project / 'tested')['accuracy/top1']
    assert f'distilled student {tested:.4g} ' in log

    shutil.copy('data/flowers/val/red/000.jpg', 'photo.jpg')
    (name,) = run_block(PAGE, 'Inferencer')
    assert name in CLASSES


def test_takes_options():
    path = f'{ROOT}/configs/image_folder/folder_luminet.py'
    cfg = load_run_cfg(path, dict(num_classes=7, max_epochs=3))
    assert cfg.model.teacher_ckpt == 'work_dirs/folder_teacher/epoch_3.pth'
    assert cfg.data_preprocessor.num_classes == 7
    for role in ('student', 'teacher'):
        model = load_model_cfg(cfg.model[role], role)
        pixels = model.get('data_preprocessor', cfg.data_preprocessor)  # or the run's
        assert model.head.num_classes == pixels.num_classes == 7


def test_finds_a_models_weights():
    load_from = run_block(PAGE, 'pretrained=True')[0]
    assert re.fullmatch(r'https://\S+/resnet34_8xb32_in1k_\S+\.pth', load_from)


def test_shipped_weights_are_the_zoos():
    for role, zoo in (
        ('teacher', 'resnet/resnet50_8xb32_in1k.py'),
        ('student', 'mobilenet_v2/mobilenet-v2_8xb32_in1k.py'),
    ):
        cfg = Config.fromfile(f'{ROOT}/configs/image_folder/folder_{role}.py')
        zoo = get_config(f'mmpretrain::{zoo}', pretrained=True)
        # the forks keep the weights on a host of their own
        ours, theirs = (urlparse(url).path for url in (cfg.load_from, zoo.model_path))
        assert ours == theirs
        assert cfg.model.backbone == zoo.model.backbone
        for key in ('mean', 'std', 'to_rgb'):
            assert cfg.data_preprocessor[key] == zoo.data_preprocessor[key]
