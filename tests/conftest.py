import pytest
from mmengine.logging import MessageHub


@pytest.fixture(autouse=True)
def message_hub(request):
    """A hub of the test's own: mmengine's current one is global."""
    return MessageHub.get_instance(request.node.nodeid)
