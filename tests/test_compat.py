"""What compat does without a GPU, and that it leaves others alone."""

import pytest
import torch
from mmdet.utils import reduce_mean
from mmengine.config import Config
from mmengine.dist import is_distributed

from luminet_mm import compat


@pytest.fixture
def device(monkeypatch):
    def use(name):
        monkeypatch.setattr(compat, 'get_device', lambda: name)

    return use


@pytest.mark.parametrize(('name', 'launcher'), [('cpu', 'none'), ('cuda', 'pytorch')])
def test_leaves_the_config_alone(name, launcher, device):
    device(name)
    cfg = Config(dict(launcher=launcher, env_cfg=dict(dist_cfg=dict(backend='nccl'))))
    before = cfg.pretty_text
    compat.setup_cpu_distributed(cfg)
    assert cfg.pretty_text == before


def test_a_cluster_without_gpus(device):
    device('cpu')
    with pytest.raises(
        ValueError, match="--launcher slurm needs GPUs .* use 'pytorch'"
    ):
        compat.setup_cpu_distributed(Config(dict(launcher='slurm')))


def test_alone_among_others(monkeypatch, tmp_path):
    """Nobody is waited for inside the block, however it ends."""
    asked = []
    all_reduce = torch.distributed.all_reduce
    monkeypatch.setattr(
        torch.distributed,
        'all_reduce',
        lambda *args, **kwargs: asked.append(all_reduce(*args, **kwargs)),
    )
    store = torch.distributed.FileStore(str(tmp_path / 'store'), 1)
    torch.distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    try:
        assert is_distributed()
        with pytest.raises(OSError), compat.alone():
            assert not is_distributed()
            assert torch.equal(reduce_mean(torch.ones(2)), torch.ones(2))
            raise OSError
        assert is_distributed() and not asked
        reduce_mean(torch.ones(2))
        assert asked
    finally:
        compat.leave_group()
    assert not is_distributed()
    compat.leave_group()  # there is none
