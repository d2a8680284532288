"""Multi-level distillation as its authors' code has it, by one view and by two."""

import naive
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate, pseudo_collate
from mmengine.registry import init_default_scope
from test_tools import ROOT
from tiny import classifier, distiller, image_batch, save_weights

from luminet_mm.losses import MultiLevelLoss
from luminet_mm.registry import MODELS

IMAGE = np.random.RandomState(0).randint(0, 256, (32, 32, 3), dtype=np.uint8)
LR = {'shufflenetv1': 0.01, 'shufflenetv2': 0.001}
EPOCHS = {'shufflenetv1': 480, 'shufflenetv2': 960}
NAMES = [
    'resnet56_resnet20_mlkd',
    'resnet32x4_resnet8x4_mlkd',
    'resnet32x4_resnet8x4_mlkd_two_views',
    'resnet32x4_shufflenetv2_mlkd_aa',
    'vgg13_vgg8_mlkd_aa',
    'wrn_40_2_shufflenetv1_mlkd_aa',
    'wrn_40_2_wrn_16_2_mlkd_aa',
    'wrn_40_2_wrn_40_1_mlkd_aa',
]


def read(name):
    init_default_scope('mmpretrain')
    return Config.fromfile(f'{ROOT}/configs/cifar100/{name}.py')


def total(name, logits_S, logits_T):
    losses = read(name).model.distill_losses.values()
    return sum(MODELS.build(loss)(logits_S, logits_T) for loss in losses)


def views(num_images=6, num_classes=8):
    """(student, teacher) logits of plain views, and of strong ones."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, 2, num_images, num_classes)
    return torch.randn(shape, generator=generator, dtype=torch.float64) * 3


@pytest.mark.parametrize('name', [n for n in NAMES if not n.endswith('two_views')])
def test_one_view_stands_for_both(name):
    plain, _ = views()
    expected = naive.published_multi_level(plain, plain)
    assert total(name, *plain).item() == pytest.approx(expected, rel=1e-9)


def test_two_views_are_the_authors():
    plain, strong = views()
    expected = naive.published_multi_level(plain, strong)
    value = total(NAMES[2], *torch.cat([plain, strong], dim=1))
    assert value.item() == pytest.approx(expected, rel=1e-9)
    assert value != pytest.approx(naive.published_multi_level(strong, plain), rel=1e-2)


@pytest.mark.parametrize('name', NAMES)
def test_schedule_is_the_authors(name):
    cfg = read(name)
    student = name.split('_mlkd')[0].split('_')[-1]
    assert cfg.optim_wrapper.optimizer.lr == LR.get(student, 0.025)
    assert cfg.train_cfg.max_epochs == EPOCHS.get(student, 240)
    assert cfg.param_scheduler.milestones == [150, 180, 210]
    assert cfg.train_dataloader.batch_size == 64
    assert cfg.model.student.head.loss.loss_weight == 0.2
    assert cfg.model.get('warmup', 0) == 0


def test_a_view_is_half_of_everything():
    z_S, z_T = views().transpose(0, 1).reshape(2, 12, 8)
    weight, labels = torch.rand(12) + 0.5, torch.zeros(12).long()
    for view in (0, 1):
        own = slice(6 * view, 6 * view + 6)
        expected = MultiLevelLoss()(z_S[own], z_T[own], weight=weight[own])
        loss = MultiLevelLoss(view=view)
        assert loss(z_S, z_T, gt_labels=labels, weight=weight) == expected
        assert loss(z_S[:0], z_T[:0]) == 0


@pytest.mark.parametrize('view', [2, -1, True, 0.5, '1', 'strong'])
def test_there_are_two_views(view):
    with pytest.raises((TypeError, ValueError), match='MultiLevelLoss.view=.* integer'):
        MultiLevelLoss(view=view)


def test_views_of_an_odd_number_of_rows():
    with pytest.raises(ValueError, match='view=1 halves the rows, but there are 5'):
        MultiLevelLoss(view=1)(torch.zeros(5, 3), torch.zeros(5, 3))
    with pytest.raises(TypeError, match='the student gives a tuple'):
        MultiLevelLoss(view=1)((torch.zeros(4, 3),), torch.zeros(4, 3))


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
def test_a_batch_holds_a_plain_and_a_strong_view(collate):
    """Of the shipped pipeline: each plain view is a crop of the image, or its mirror
    image, and comes before all strong ones."""
    np.random.seed(0)
    cfg = read(NAMES[2])
    pipeline = Compose(cfg.train_dataloader.dataset.pipeline)
    packed = [pipeline(dict(img=IMAGE.copy(), gt_label=i)) for i in range(8)]
    preprocessor = MODELS.build(cfg.data_preprocessor)
    batch = preprocessor(collate(packed), training=True)
    assert batch['inputs'].shape == (16, 3, 32, 32)
    labels = [sample.gt_label.item() for sample in batch['data_samples']]
    assert labels == [*range(8)] * 2

    raw = (batch['inputs'] * preprocessor.std + preprocessor.mean).round()
    middle = torch.from_numpy(IMAGE).permute(2, 0, 1)[:, 8:24, 8:24].float()
    padded = torch.nn.functional.pad(raw, (4, 4, 4, 4))

    def is_crop(view):
        windows = view.unfold(1, 16, 1).unfold(2, 16, 1)  # (C, y, x, 16, 16)
        found = [
            (windows == wanted[:, None, None]).all(dim=-1).all(dim=-1).all(dim=0).any()
            for wanted in (middle, middle.flip(2))
        ]
        return any(found)

    assert all(map(is_crop, padded[:8]))
    assert sum(map(is_crop, padded[8:])) < 4  # some operations change little


def test_strong_views_hold_what_the_authors_hold():
    views = read(NAMES[2]).train_dataloader.dataset.pipeline[0]
    *_, augment, cutout = views.transforms[1]
    built = Compose([augment, cutout])
    policies = built.transforms[0].transforms
    names = [type(policy).__name__ for policy in policies]
    assert len(names) == 14
    assert (
        names.count('Rotate') == names.count('Shear') == names.count('Translate') == 2
    )
    assert all(policy.prob == 1 for policy in policies)
    assert built.transforms[1].prob == 1


def test_trains_by_two_views(tmp_path):
    cfg = classifier()
    cfg['data_preprocessor']['type'] = 'luminet_mm.MultiViewDataPreprocessor'
    model = distiller(
        cfg,
        cfg,
        save_weights(cfg, tmp_path / 'teacher.pth', seed=1),
        distill_losses=read(NAMES[2]).model.distill_losses,
    )
    first, second = image_batch(4, seed=0), image_batch(4, seed=1)
    images = [torch.stack(batch['inputs']) for batch in (first, second)]
    data = dict(inputs=images, data_samples=first['data_samples'])
    losses = model.loss(**model.data_preprocessor(data, True))
    loss, log = model.parse_losses(losses)
    loss.backward()
    for name in model.distill_losses:
        assert log[name] > 0

    plain = model.data_preprocessor(first)['inputs']
    assert torch.equal(model.data_preprocessor(data)['inputs'][:4], plain)
