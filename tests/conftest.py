from functools import lru_cache

import pytest
from mmengine.config import config, utils
from mmengine.logging import MessageHub

# A name of the model zoo is looked up in a hundred metafiles, parsed each time anew:
# half a second, some thousand times
utils.load = lru_cache(maxsize=None)(utils.load)

# A config is laid out for readers each time it is dumped, twice by a runner: a
# quarter of a small run, and nobody reads it here
config.FormatCode = lambda text, **kwargs: (text, False)


@pytest.fixture(autouse=True)
def message_hub(request):
    """A hub of the test's own: mmengine's current one is global."""
    return MessageHub.get_instance(request.node.nodeid)
