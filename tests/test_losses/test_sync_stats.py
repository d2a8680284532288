"""Several processes with the statistics of all, against one with the whole batch."""

import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from luminet_mm.losses import LuminetLoss

NUM_CLASSES = 5
STEPS = 3


def batch(counts):
    """Inputs and teacher's logits of all processes, a class of it constant."""
    generator = torch.Generator().manual_seed(0)
    size = (sum(counts), NUM_CLASSES)
    inputs, preds_T = torch.randn(2, *size, generator=generator, dtype=torch.float64)
    preds_T = 4 * preds_T + 300
    preds_T[:, 2] = 12.5
    return inputs.split(counts), preds_T.split(counts)


def train(model, inputs, preds_T):
    """Losses of a few steps with ``sync_stats``."""
    sgd = torch.optim.SGD(model.parameters(), lr=0.5)
    loss = LuminetLoss(tau=2.0, loss_weight=3.0, sync_stats=True)
    losses = []
    for _ in range(STEPS):
        losses.append(loss(model(inputs), preds_T))
        sgd.zero_grad()
        losses[-1].backward()
        sgd.step()
    return torch.stack(losses).detach()


def student():
    torch.manual_seed(1)
    return nn.Linear(NUM_CLASSES, NUM_CLASSES).double()


def process(rank, counts, device, file, out):
    dist.init_process_group('gloo', f'file://{file}', rank=rank, world_size=len(counts))
    model = DistributedDataParallel(student().to(device))
    inputs, preds_T = (each[rank].to(device) for each in batch(counts))
    losses = train(model, inputs, preds_T).cpu()
    dist.all_reduce(losses)
    if rank == len(counts) - 1:
        torch.save((losses / len(counts), list(model.cpu().parameters())), out)
    dist.barrier()  # leave together: gloo may wait for a peer that is gone
    # At once: torch 2.1 joins gloo's threads holding Python's lock, which they may want
    os._exit(0)


# NCCL does not give one GPU to several processes, gloo does
@pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
@pytest.mark.parametrize('counts', [(4, 4), (3, 5, 0, 1)])
def test_processes_train_as_one(counts, device, tmp_path):
    mp.spawn(
        process,
        (counts, device, tmp_path / 'store', tmp_path / 'out'),
        nprocs=len(counts),
    )
    losses, parameters = torch.load(tmp_path / 'out')
    alone = student()
    expected = train(alone, *map(torch.cat, batch(counts)))
    torch.testing.assert_close(losses, expected, rtol=1e-6, atol=1e-9)
    assert expected[0] > 0.1
    for got, parameter in zip(parameters, alone.parameters()):
        torch.testing.assert_close(got, parameter, rtol=1e-6, atol=1e-9)


def test_one_process_needs_no_group():
    inputs, preds_T = map(torch.cat, batch([6]))
    synced, own = (LuminetLoss(sync_stats=sync) for sync in (True, False))
    assert synced(inputs, preds_T) == own(inputs, preds_T)


def test_no_sample_at_all():
    inputs = torch.zeros(0, NUM_CLASSES, requires_grad=True)
    loss = LuminetLoss(sync_stats=True)(inputs, torch.zeros(0, NUM_CLASSES))
    loss.backward()
    assert loss == 0
