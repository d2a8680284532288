"""Show the installed stack, the devices, and what is missing for what.

A package counts as there if the part of it that luminet_mm needs can be imported.
"""

import argparse
import contextlib
import io
import os
import platform
import textwrap
import warnings
from importlib import import_module, metadata
from typing import List, NamedTuple, Optional, Tuple

from .. import __version__
from . import VERBS


class Package(NamedTuple):
    """A package that something needs.

    Attributes:
        names (tuple[str, ...]): Distributions that bring it, first the usual one.
        module (str): What is imported of it.
        purpose (str): What there is not without it.
        pip (str): What pip is told. Defaults to none, the first name.
        fork (str): The same where the maintained forks are installed. Defaults to
            none: there is no fork.
    """

    names: Tuple[str, ...]
    module: str
    purpose: str
    pip: str = ''
    fork: str = ''


STACK = (
    Package(('torch',), 'torch', 'training at all', '"torch==2.1.2" "numpy<2"'),
    Package(('torchvision',), 'torchvision', 'classifiers', '"torchvision==0.16.2"'),
    Package(
        ('mmengine', 'mmengine-lite', 'onedl-mmengine'),
        'mmengine.runner',
        'training at all',
        '"mmengine>=0.8.0,<1.0.0"',
    ),
    Package(
        ('mmcv', 'onedl-mmcv', 'mmcv-lite', 'mmcv-full'),
        'mmcv.ops',
        'classifiers and detectors',
        '--no-build-isolation "mmcv>=2.0.0,<2.2.0"',
        '--no-build-isolation onedl-mmcv',
    ),
    Package(
        ('mmdet', 'onedl-mmdetection'),
        'mmdet.models',
        'detectors',
        '"mmdet>=3.0.0"',
        'onedl-mmdetection',
    ),
    Package(
        ('mmpretrain', 'onedl-mmpretrain'),
        'mmpretrain.models',
        'classifiers',
        '"mmpretrain>=1.0.0"',
        'onedl-mmpretrain',
    ),
    Package(
        ('mmrazor',),
        'mmrazor.models',
        "mmrazor's losses and algorithms",
        'mmrazor cloudpickle joblib ordered-set',
    ),
)
EXTRAS = (
    Package(('onnx',), 'onnx', 'export to ONNX'),
    Package(('onnxruntime',), 'onnxruntime', 'proof of an ONNX file'),
    Package(('tensorboard',), 'torch.utils.tensorboard', '--logger tensorboard'),
    Package(('wandb',), 'wandb', '--logger wandb'),
    Package(('mlflow', 'mlflow-skinny'), 'mlflow', '--logger mlflow', 'mlflow-skinny'),
    Package(('safetensors',), 'safetensors', 'weights in .safetensors files'),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`luminet version` takes none."""
    parser.epilog = f'other commands: {", ".join(v for v in VERBS if v != "version")}'


def run(args: argparse.Namespace) -> None:
    """Print what there is, then what is missing."""
    system = f'{platform.system()} {platform.machine()}'
    print(f'luminet_mm {__version__}, Python {platform.python_version()}, {system}')
    missing: List[Tuple[Package, str]] = []
    for package in (*STACK, *EXTRAS):
        found = _installed(package)
        trouble = _import(package.module)
        if trouble is None:
            print(f'  {package.names[0]:<14}{found or "a source checkout"}')
        else:
            broken = f'{found} cannot be imported: {trouble}' if found else 'missing'
            missing.append((package, broken))
    print(f'  {"C++ operator":<14}{_operator()}')
    print(f'  {"devices":<14}{_devices()}')
    forks = bool(_version('onedl-mmengine'))
    for package, state in missing:
        print(f'{package.names[0]}: {state}; not without it: {package.purpose}')
        name = (forks and package.fork) or package.pip or package.names[0]
        print(f'    pip install {name}')
    if not missing:
        print('nothing is missing')


def _version(name: str) -> Optional[str]:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _installed(package: Package) -> str:
    """Version, with the distribution's name where that is not the usual one."""
    for name in package.names:
        version = _version(name)
        if version is not None:
            return version if name == package.names[0] else f'{version} ({name})'
    return ''


def _import(module: str) -> Optional[str]:
    """What goes wrong when a module is imported, in one line, or None."""
    try:
        with _silence():
            if module.startswith('mmrazor'):
                import_module('luminet_mm.registry')  # makes what can be imported so
            import_module(module)
    except Exception as error:  # whatever a broken package raises
        text = ' '.join(str(error).split())
        return f'{type(error).__name__}: {textwrap.shorten(text, 150)}'
    return None


@contextlib.contextmanager
def _silence():
    """Packages greet and warn when they are imported."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        with contextlib.redirect_stderr(io.StringIO()):
            yield


def _operator() -> str:
    """Whether LumiNet's loss for CPUs was compiled, and for this torch."""
    try:
        with _silence():
            operator = import_module('luminet_mm.losses.fused.cpu')
            import_module('torch')
    except Exception as error:
        return f'not to be had: {type(error).__name__}: {error}'
    if operator.COMPILED:
        return 'compiled, used for LuminetLoss on CPUs'
    return (
        'not compiled for this torch, so LuminetLoss is slower on CPUs; '
        'a C++ compiler and `pip install --no-build-isolation` of luminet_mm change it'
    )


def _devices() -> str:
    try:
        import torch
    except Exception:  # told above
        return f'{os.cpu_count()} CPU cores'
    devices = [f'{torch.get_num_threads()} CPU threads of {os.cpu_count()} cores']
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        devices.append(f'{gpu.name} ({gpu.total_memory / 2**30:.0f} GiB)')
    return ', '.join(devices if len(devices) > 1 else [*devices, 'no GPU'])
