"""The registries of luminet_mm, children of mmengine's root registries.

``type='luminet_mm.LuminetLoss'`` in any OpenMMLab config makes mmengine import
this module by itself, so a config needs no ``custom_imports``.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import Registry

from .compat import enable_mmpretrain, enable_mmrazor

enable_mmpretrain()
enable_mmrazor()

MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    scope='luminet_mm',
    locations=['luminet_mm.losses', 'luminet_mm.distillers', 'luminet_mm.models'],
)
DATASETS = Registry(
    'dataset',
    parent=MMENGINE_DATASETS,
    scope='luminet_mm',
    locations=['luminet_mm.datasets'],
)
TRANSFORMS = Registry(
    'transform',
    parent=MMENGINE_TRANSFORMS,
    scope='luminet_mm',
    locations=['luminet_mm.datasets'],
)
HOOKS = Registry(
    'hook',
    parent=MMENGINE_HOOKS,
    scope='luminet_mm',
    locations=['luminet_mm.hooks'],
)
VISBACKENDS = Registry(
    'vis_backend',
    parent=MMENGINE_VISBACKENDS,
    scope='luminet_mm',
    locations=['luminet_mm.visualization'],
)
SOURCES = Registry(
    'source',
    scope='luminet_mm',
    locations=['luminet_mm.distillers.sources'],
)
