"""Classification models that mmpretrain lacks; empty where it is not installed."""

import importlib.util

from .. import registry  # noqa: F401  makes mmpretrain.models importable, see compat

if importlib.util.find_spec('mmpretrain') is not None:
    from .backbones import *  # noqa: F403
    from .data_preprocessors import *  # noqa: F403
