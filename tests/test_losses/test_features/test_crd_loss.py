"""CRD against the same in loops; its memory, alone, restored and in processes."""

import copy
import os

import pytest
import tiny
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from luminet_mm.losses import CRDLoss

NUM_SAMPLES, NUM_CLASSES = 20, 4
CLASSES = torch.arange(NUM_SAMPLES) % NUM_CLASSES  # of the images of the data set


def build(dtype=torch.float64, **settings):
    torch.manual_seed(0)
    settings = {**dict(num_samples=NUM_SAMPLES, num_negatives=6), **settings}
    loss = CRDLoss(embed_dims=5, **settings)
    loss.connect([(1, 3)], [(1, 4)])
    return loss.to(dtype)


def batch(indices, seed=1, dtype=torch.float64):
    """Features of both, and the rest, of some images of the data set."""
    generator = torch.Generator().manual_seed(seed)
    feats_S = torch.randn(NUM_SAMPLES, 3, generator=generator, dtype=dtype)[indices]
    feats_T = torch.randn(NUM_SAMPLES, 4, generator=generator, dtype=dtype)[indices]
    samples = [DataSample(metainfo=dict(sample_idx=index)) for index in indices]
    context = dict(gt_labels=CLASSES[indices], data_samples=samples)
    return ([feats_S], [feats_T]), context


def run(loss, indices, seed=1):
    feats, context = batch(indices, seed)
    return loss(*feats, **context)


def normalised(vector):
    return vector / sum(value**2 for value in vector) ** 0.5


def naive(loss, feats_S, feats_T, indices, drawn):
    """The loss, both Z that the first batch gives, and the new rows, in loops."""
    n, k, eps = loss.num_samples, loss.num_negatives, loss.eps
    embeds = {'S': [], 'T': []}
    for who, feats in (('S', feats_S), ('T', feats_T)):
        linear = getattr(loss, f'embed_{who}')
        for feat in feats:
            embeds[who].append(normalised(linear.weight @ feat + linear.bias))
    total, constants = 0, []
    for anchor, other in ('ST', 'TS'):
        bank = getattr(loss, f'bank_{other}')
        exps = [
            [torch.exp(embed @ bank[row] / loss.tau) for row in [index, *rows.tolist()]]
            for embed, index, rows in zip(embeds[anchor], indices, drawn)
        ]
        mean = sum(sum(row) for row in exps) / (len(exps) * (k + 1))
        constants.append(n * mean.item())
        for own, *others in exps:
            p = own / constants[-1]
            total = total - torch.log(p / (p + k / n + eps))
            for exp in others:
                p = exp / constants[-1]
                total = total - torch.log((k / n) / (p + k / n + eps))
    rows = {
        who: [
            normalised(
                loss.momentum * getattr(loss, f'bank_{who}')[index]
                + (1 - loss.momentum) * embed
            )
            for index, embed in zip(indices, embeds[who])
        ]
        for who in 'ST'
    }
    return loss.loss_weight * total / len(indices), constants, rows


def test_is_the_naive_one(monkeypatch):
    """Value, gradients, Z and the memory, given the same negatives."""
    indices = [3, 11, 4, 17]
    drawn = torch.tensor([[0, 1, 2, 4, 0, 6]] * 4) + torch.tensor([[1], [2], [3], [4]])
    loss = build(momentum=0.3)
    same = copy.deepcopy(loss)
    monkeypatch.setattr(loss, 'draw', lambda gt_labels: drawn)
    (feats_S, feats_T), context = batch(indices)
    value = loss(feats_S, feats_T, **context)
    expected, constants, rows = naive(same, feats_S[0], feats_T[0], indices, drawn)
    torch.testing.assert_close(value, expected)
    assert [loss.Z_T.item(), loss.Z_S.item()] == pytest.approx(constants)
    value.backward()  # after the memory was written to
    expected.backward()
    for (name, got), parameter in zip(loss.named_parameters(), same.parameters()):
        torch.testing.assert_close(got.grad, parameter.grad, msg=name)
    for who in 'ST':
        bank, before = getattr(loss, f'bank_{who}'), getattr(same, f'bank_{who}')
        torch.testing.assert_close(bank[indices], torch.stack(rows[who]).detach())
        others = [row for row in range(NUM_SAMPLES) if row not in indices]
        assert torch.equal(bank[others], before[others])
        assert not bank.requires_grad


def test_normalisation_stays_the_first_batchs():
    loss = build()
    run(loss, [0, 1, 2])
    first = loss.Z_S.clone()
    run(loss, [5, 6], seed=3)
    assert torch.equal(loss.Z_S, first) and first > 0


def test_negatives_are_of_other_classes_and_uniform():
    """Also of classes of different sizes, not in any order."""
    loss = build(num_samples=10, num_negatives=20_000)
    loss.labels = torch.tensor([2, 0, 1, 1, 2, 2, 0, 2, 2, 1])
    gt_labels = torch.tensor([1, 2, 0, 1, 7])
    drawn = loss.draw(gt_labels)
    assert drawn.shape == (5, 20_000)
    for label, rows in zip(gt_labels, drawn):
        share = torch.bincount(rows, minlength=10) / len(rows)
        others = loss.labels != label
        assert (share[~others] == 0).all()
        torch.testing.assert_close(
            share[others],
            torch.full_like(share[others], 1 / others.sum()),
            rtol=0.1,
            atol=0,
        )


def test_a_row_is_of_any_other_class_before_its_image_was_seen():
    loss = build(num_negatives=500)
    run(loss, [0, 4, 1])
    assert loss.labels.tolist() == [0, 1, -1, -1, 0] + [-1] * 15
    drawn = loss.draw(torch.tensor([0]))
    assert set(drawn.flatten().tolist()) == set(range(NUM_SAMPLES)) - {0, 4}


def test_continues_from_its_checkpoint_bit_for_bit():
    def steps(loss, seeds):
        sgd = torch.optim.SGD(loss.parameters(), lr=0.1)
        values = []
        for seed in seeds:
            torch.manual_seed(seed)
            value = run(loss, [seed, seed + 3, seed + 6], seed)
            sgd.zero_grad()
            value.backward()
            sgd.step()
            values.append(value.item())
        return values

    loss = build()
    steps(loss, range(3))
    restored = build()
    restored.load_state_dict(copy.deepcopy(loss.state_dict()))
    assert steps(restored, range(3, 6)) == steps(loss, range(3, 6))
    for name, value in loss.state_dict().items():
        assert torch.equal(restored.state_dict()[name], value), name


def test_size_is_the_published_one():
    """12,865,797 for ResNet32x4 to ResNet8x4, which counts five scalars, too: K, tau,
    momentum, and Z of each bank."""
    loss = CRDLoss()
    loss.connect([(1, 256)], [(1, 256)])
    trained = sum(parameter.numel() for parameter in loss.parameters())
    memory = loss.bank_S.numel() + loss.bank_T.numel()
    assert (trained, memory) == (65_792, 12_800_000)
    assert trained + memory + 5 == 12_865_797
    assert {'bank_S', 'bank_T', 'Z_S', 'Z_T', 'labels'} <= set(loss.state_dict())


def test_no_image_at_all():
    loss = build()
    value = run(loss, [])
    value.backward()
    assert value == 0 and loss.Z_S == 0


STEPS = 3


def process(rank, counts, file, out):
    dist.init_process_group('gloo', f'file://{file}', rank=rank, world_size=len(counts))
    torch.save(remember(counts, rank), out / str(rank))
    dist.barrier()  # leave together: gloo may wait for a peer that is gone
    os._exit(0)  # at once, as in test_sync_stats.py


def remember(counts, rank=None):
    """Memory after a few steps of one of the processes, or of one with all images."""
    loss = build()
    # the same for an image in whichever process it is
    loss.draw = lambda gt_labels: torch.arange(6) + gt_labels[:, None] + 5
    for step in range(STEPS):
        parts = torch.arange(step, step + sum(counts)).split(counts)
        indices = torch.cat(parts) if rank is None else parts[rank]
        run(loss, indices.tolist(), seed=step)
    return dict(loss.named_buffers())


@pytest.mark.parametrize('counts', [(3, 3), (2, 5)])
def test_processes_remember_as_one(counts, tmp_path):
    mp.spawn(process, (counts, tmp_path / 'store', tmp_path), nprocs=len(counts))
    expected = remember(counts)
    assert (expected['labels'] >= 0).sum() == sum(counts) + STEPS - 1
    for rank in range(len(counts)):
        buffers = torch.load(tmp_path / str(rank))
        for name, buffer in expected.items():
            torch.testing.assert_close(buffers[name], buffer, msg=f'{name} of {rank}')


@pytest.mark.parametrize(
    ('samples', 'message'),
    [
        ([DataSample()], 'no sample_idx.*PackInputs'),
        ([DataSample(metainfo=dict(sample_idx=20))], 'num_samples=20.*sample_idx 20'),
        ([DataSample(metainfo=dict(sample_idx=-1))], 'num_samples=20.*sample_idx -1'),
    ],
)
def test_refuses_an_image_without_a_place(samples, message):
    loss = build()
    before = copy.deepcopy(loss.state_dict())
    feats, context = batch([0])
    with pytest.raises(ValueError, match=message):
        loss(*feats, **{**context, 'data_samples': samples})
    for name, value in loss.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_refuses_soft_labels():
    feats, context = batch([0])
    with pytest.raises(ValueError, match='gt_labels is None'):
        build()(*feats, **{**context, 'gt_labels': None})


def test_refuses_a_data_set_of_one_class():
    loss = build(num_samples=2)
    (feats_S, feats_T), context = batch([0, 1])
    context['gt_labels'] = torch.tensor([3, 3])
    with pytest.raises(ValueError, match='num_samples are of class 3'):
        loss(feats_S, feats_T, **context)
    context['gt_labels'] = torch.tensor([3, 2])
    assert loss(feats_S, feats_T, **context).isfinite()


def test_refuses_several_pairs():
    loss = CRDLoss([('pooled', 'pooled')] * 2, num_samples=2)
    with pytest.raises(ValueError, match='layers=.*one pair.*there are 2'):
        loss.connect([(1, 3)] * 2, [(1, 4)] * 2)


@pytest.mark.parametrize(
    ('name', 'wrong'),
    [
        ('num_samples', 1),
        ('num_samples', 5.5),
        ('num_negatives', 0),
        ('embed_dims', 0),
        ('tau', 0),
        ('momentum', 1.5),
        ('eps', -1),
    ],
)
def test_refuses_settings(name, wrong):
    with pytest.raises((TypeError, ValueError), match=f'CRDLoss.{name}={wrong}'):
        CRDLoss(**{'num_samples': 2, name: wrong})


@pytest.mark.parametrize('is_cached', [False, True])
def test_data_sets_give_the_index_of_each_image(is_cached, tmp_path):
    """In a run, which has seen each image once an epoch and saves the memory."""
    student = tiny.classifier(num_classes=5)
    ckpt = tiny.save_weights(student, tmp_path / 'teacher.pth')
    model = tiny.distilled(student, student, ckpt)
    model['distill_losses'] = dict(
        loss_crd=dict(type='luminet_mm.CRDLoss', num_samples=16, num_negatives=4)
    )
    cfg = tiny.classification_run(model, tmp_path / 'images', tmp_path, max_epochs=1)
    if is_cached:
        loader = cfg['train_dataloader']
        loader['dataset'] = dict(
            type='luminet_mm.CachedDataset', dataset=loader['dataset']
        )
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    saved = tiny.load_checkpoint(tmp_path / 'epoch_1.pth')['state_dict']
    memory = {
        name.rpartition('loss_crd.')[2]: value
        for name, value in saved.items()
        if 'loss_crd.' in name
    }
    data = runner.train_dataloader.dataset
    labels = torch.cat([data[i]['data_samples'].gt_label for i in range(16)])
    assert torch.equal(memory['labels'], labels)
    torch.testing.assert_close(memory['bank_S'].norm(dim=1), torch.ones(16))
    assert memory['Z_S'] > 0
