"""``import luminet_mm`` is cheap, and says what it lacks."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import luminet_mm

ROOT = Path(luminet_mm.__file__).parents[1]


def run(code, *flags):
    return subprocess.run(
        [sys.executable, *flags, '-c', f'import sys; {code}'],
        capture_output=True,
        text=True,
        timeout=120,
    )


def import_with_only(folder):
    """Import luminet_mm where all else is the standard library and ``folder``."""
    return run(
        f'sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]; import luminet_mm', '-S'
    )


def install(folder, name, version, module):
    """Fake an installed distribution."""
    (folder / module).mkdir(exist_ok=True)
    (folder / module / '__init__.py').touch()
    info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
    )


def test_version_is_a_release():
    assert re.fullmatch(r'\d+\.\d+\.\d+', luminet_mm.__version__)


def test_installed_metadata_agrees():
    assert importlib.metadata.version('luminet_mm') == luminet_mm.__version__


def test_import_leaves_the_heavy_packages_alone():
    result = run(
        f'sys.path.insert(0, {str(ROOT)!r}); import luminet_mm; '
        'heavy = {"torch", "mmengine", "mmcv", "mmdet", "mmpretrain", "mmrazor"}; '
        'print(sorted(heavy & set(sys.modules)))'
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == '[]'


def test_everything_missing_is_named_at_once_with_its_fix(tmp_path):
    result = import_with_only(tmp_path)
    assert result.returncode == 1
    assert 'ImportError: luminet_mm needs torch>=1.8, but it is not' in result.stderr
    assert 'pip install "torch==2.1.2" "torchvision==0.16.2"' in result.stderr
    assert 'luminet_mm needs mmengine>=0.8.0, but it is not' in result.stderr
    assert 'pip install "mmengine>=0.8.0,<1.0.0"' in result.stderr


def test_too_old_is_named_with_the_version_found(tmp_path):
    install(tmp_path, 'torch', '1.7.1+cu110', 'torch')
    install(tmp_path, 'mmengine', '0.10.7', 'mmengine')
    result = import_with_only(tmp_path)
    assert result.returncode == 1
    assert (
        'luminet_mm needs torch>=1.8, but torch 1.7.1+cu110 is installed. '
        'To fix it: pip install "torch==2.1.2"'
    ) in result.stderr
    assert 'mmengine' not in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    'name, version',
    [
        ('mmengine', '0.8.0'),
        ('mmengine-lite', '0.10.7'),
        ('onedl-mmengine', '0.10.12'),
        ('onedl-mmengine', '2.0.0'),
    ],
)
def test_every_distribution_of_mmengine_will_do(tmp_path, name, version):
    install(tmp_path, 'torch', '2.11.0a0+git1234567', 'torch')
    install(tmp_path, name, version, 'mmengine')
    result = import_with_only(tmp_path)
    assert result.returncode == 0, result.stderr


def test_a_source_checkout_without_metadata_is_trusted(tmp_path):
    for module in ('torch', 'mmengine'):
        (tmp_path / module).mkdir()
        (tmp_path / module / '__init__.py').touch()
    result = import_with_only(tmp_path)
    assert result.returncode == 0, result.stderr
