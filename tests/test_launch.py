"""Processes that cannot meet, die or hang: a message, and an end."""

import pytest
from test_tools import dump, free_port, tool
from tiny import classification_run, classifier

HOOK = """
import threading
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class FailHook(Hook):
    def __init__(self, how):
        self.how = how

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if get_rank() == 1 and batch_idx == 1:
            if self.how == 'die':
                raise RuntimeError('rank 1 has failed')
            threading.Event().wait()
"""


@pytest.mark.parametrize(
    ('env', 'message'),
    [
        (dict(PORT='0'), 'PORT=0 must be a whole number from 1 to 65535'),
        (dict(PORT='abc'), 'PORT=abc must be'),
        (dict(PORT='65536'), 'PORT=65536 must be'),
        (dict(PORT='-1'), 'PORT=-1 must be'),
        (dict(PORT='1 2'), 'PORT=1 2 must be'),
        (dict(PORT='99999999999999999999'), 'PORT=9+ must be'),
        (dict(NNODES='0'), 'NNODES=0 must be'),
        (dict(NNODES='x'), 'NNODES=x must be'),
        (dict(NODE_RANK='1'), 'NODE_RANK=1 must be a whole number from 0 to 0'),
        (dict(NODE_RANK='2', NNODES='2'), 'NODE_RANK=2 must be .* from 0 to 1'),
        (dict(NODE_RANK='-1', NNODES='2'), 'NODE_RANK=-1 must be'),
        (dict(RDZV_TIMEOUT='1.5'), 'RDZV_TIMEOUT=1.5 must be'),
        (dict(MASTER_ADDR='no.such.host.invalid'), 'MASTER_ADDR=no.such.host.invalid'),
    ],
)
def test_settings_that_cannot_be(env, message):
    with pytest.raises(AssertionError, match=f'error: {message}'):
        tool('dist_train.sh', 'run.py', 1, **env)


@pytest.mark.parametrize('gpus', ['0', '-1', 'two', '', '1.5'])
def test_numbers_of_processes_that_cannot_be(gpus):
    for arguments in (('dist_train.sh', 'run.py'), ('dist_test.sh', 'run.py', 'c.pth')):
        with pytest.raises(AssertionError, match=f'GPUS={gpus} must be a whole number'):
            tool(*arguments, gpus)


def test_a_master_that_does_not_answer(tmp_path):
    nodes = dict(NNODES='2', NODE_RANK='1', PORT=free_port(), RDZV_TIMEOUT='1')
    with pytest.raises(AssertionError, match='machine 1 of 2 waits 1 s') as error:
        tool('dist_train.sh', 'run.py', 1, **nodes)
    assert error.match('timed out after 1s while trying to connect')


@pytest.mark.parametrize(
    ('how', 'message'), [('die', 'rank 1 has failed'), ('hang', '[Tt]imed out')]
)
def test_one_process_ends_all(how, message, tmp_path):
    (tmp_path / 'fail_hook.py').write_text(HOOK)
    cfg = classification_run(
        classifier(),
        tmp_path,
        tmp_path / 'run',
        custom_imports=dict(imports='fail_hook'),
        custom_hooks=[dict(type='FailHook', how=how)],
        env_cfg=dict(dist_cfg=dict(timeout=5)),
    )
    path = dump(cfg, tmp_path / 'run.py')
    with pytest.raises(AssertionError, match=message):
        tool('dist_train.sh', path, 2, PYTHONPATH=str(tmp_path))
