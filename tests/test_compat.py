"""What compat does without a GPU, and that it leaves others alone."""

import pytest
from mmengine.config import Config

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
