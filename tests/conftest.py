from functools import lru_cache

import pytest
from mmengine.config import utils
from mmengine.logging import MessageHub

# A name of the model zoo is looked up in a hundred metafiles, parsed each time anew:
# half a second, some thousand times
utils.load = lru_cache(maxsize=None)(utils.load)


@pytest.fixture(autouse=True)
def message_hub(request):
    """A hub of the test's own: mmengine's current one is global."""
    return MessageHub.get_instance(request.node.nodeid)
