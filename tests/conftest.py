import os

# Tests are written for a CPU, those marked `gpu` apart, which have a run of their own:
# before anything looks for a device
ON_GPU = bool(os.environ.get('LUMINET_TEST_GPU'))
if not ON_GPU:
    os.environ['CUDA_VISIBLE_DEVICES'] = ''

import pytest  # noqa: E402
from mmengine.config import config  # noqa: E402
from mmengine.logging import MessageHub  # noqa: E402

# A config is laid out for readers each time it is dumped, twice by a runner: a
# quarter of a small run, and nobody reads it here
config.FormatCode = lambda text, **kwargs: (text, False)

need_gpu = 0  # tests that were left out


def pytest_configure(config):
    config.addinivalue_line('markers', 'gpu: needs a GPU; LUMINET_TEST_GPU=1 runs it')


def pytest_collection_modifyitems(config, items):
    global need_gpu
    kept, out = [], []
    for each in items:
        marked = each.get_closest_marker('gpu') is not None
        (kept if marked == ON_GPU else out).append(each)
    items[:] = kept
    config.hook.pytest_deselected(items=out)
    if not ON_GPU:
        need_gpu = len(out)
        if hasattr(config, 'workeroutput'):  # of pytest-xdist
            config.workeroutput['need_gpu'] = need_gpu


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    global need_gpu
    need_gpu = getattr(node, 'workeroutput', {}).get('need_gpu', need_gpu)


def pytest_terminal_summary(terminalreporter):
    if need_gpu:
        terminalreporter.write_line(
            f'{need_gpu} tests deselected that need a GPU: LUMINET_TEST_GPU=1 runs them'
        )


@pytest.fixture(autouse=True)
def message_hub(request):
    """A hub of the test's own: mmengine's current one is global."""
    return MessageHub.get_instance(request.node.nodeid)
