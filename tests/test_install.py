"""`make` and `tools/install.sh`: which stack is taken, and where packages come from.

`make` runs with stubs in place of Python, the installer with the real pip, on packages
of a line each.
"""

import http.server
import io
import os
import os.path as osp
import pty
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tarfile
import threading
import venv
import zipfile
from functools import partial

import pip
import pytest
from test_tools import ROOT

# ------------------------------------------------------------------ make, with stubs

# Says that it is of a version, has every module that is asked for, and does nothing.
STUB = """#!/bin/sh
echo "$0 $*" >> "{calls}"
case $1 in
  -c) exec {python} -S -c "
import os, sys, types
sys.version_info = {version}
sys.prefix = '$0'.rsplit('/', 2)[0]
version = types.SimpleNamespace(cuda=None)
cuda = types.SimpleNamespace(is_available=lambda: 'GPU' in os.environ)
torch = types.SimpleNamespace(__version__='0', version=version, cuda=cuda)
sys.modules.update(dict.fromkeys(['torch', 'mmcv', 'mmcv._ext', 'luminet_mm'], torch))
exec(sys.argv[1])" "$2" ;;
  -m) [ "$2" != venv ] || {{ mkdir -p "$3/bin"
    for name in python pip ruff; do cp "$0" "$3/bin/$name"; done; }} ;;
  -) exit 1 ;;
esac
"""


@pytest.fixture
def make(tmp_path):
    """Run make in a fresh checkout, on a machine that has these Pythons alone."""
    for name in (
        'Makefile',
        'requirements',
        'tools/install.sh',
        'tools/find_python.sh',
    ):
        copy = shutil.copytree if osp.isdir(osp.join(ROOT, name)) else shutil.copy
        target = tmp_path / 'checkout' / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy(osp.join(ROOT, name), target)
    for name in (
        'setup.cfg',
        'setup.py',
        'luminet_mm/version.py',
        'luminet_mm/losses/csrc/x',
    ):
        target = tmp_path / 'checkout' / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text('')
    calls = tmp_path / 'calls'
    bin = tmp_path / 'bin'
    bin.mkdir()
    for name in (
        *(
            'basename',
            'bash',
            'cat',
            'cksum',
            'cp',
            'cut',
            'dirname',
            'echo',
            'env',
            'grep',
            'ls',
        ),
        *('make', 'mkdir', 'readlink', 'sh', 'tail', 'tee', 'xargs'),
    ):
        (bin / name).symlink_to(shutil.which(name))

    def run(*arguments, pythons=(), **env):
        for version in pythons:
            name = bin / 'python{}.{}'.format(*version)
            name.write_text(
                STUB.format(calls=calls, python=sys.executable, version=version)
            )
            name.chmod(0o755)
        calls.write_text('')
        result = subprocess.run(
            ['make', *arguments],
            cwd=tmp_path / 'checkout',
            env=dict(PATH=str(bin), **env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return result.returncode, result.stdout, calls.read_text()

    return run


@pytest.mark.parametrize('newer', [(3, 12), (3, 13)])
def test_a_machine_without_a_python_of_the_default_stack(make, newer):
    code, said, calls = make('demo', pythons=[newer])
    assert code == 0, said
    line = (
        'make: no Python 3.8 to 3.11 here, as the default stack needs: '
        'going on with STACK=onedl\n'
    )
    assert said.startswith(line)
    assert 'install: .venv-onedl with python{}.{}\n'.format(*newer) in said
    assert 'requirements/onedl/openmmlab.txt' in calls
    assert 'requirements/default' not in calls
    assert calls.endswith('.venv-onedl/bin/python tools/demo.py\n')

    for target, last in (
        ('install', '.venv-onedl'),
        ('lint', '.venv-onedl/bin/ruff format --check .\n'),
        ('test', '.venv-onedl/bin/python -c import sys, torch; '),
    ):
        code, said, calls = make(target)
        assert code == 0, said
        assert said.startswith(line)
        assert 'install: nothing to do' in said
        assert last in calls.splitlines(True)[-1]


def test_tests_that_need_a_gpu_come_last(make):
    code, said, _ = make('install', pythons=[(3, 9)])
    assert code == 0, said
    on_cpu = '.venv/bin/python -m pytest tests -n 2 --dist worksteal'
    for env, last in (({}, '.venv/bin/python -c '), (dict(GPU='1'), '-m pytest tests')):
        code, said, calls = make('test', **env)
        assert code == 0, said
        assert calls.count(on_cpu) == 1
        assert last in calls.splitlines()[-1]


def test_the_default_stack_is_taken_where_its_python_is(make):
    code, said, calls = make('install', pythons=[(3, 12), (3, 9)])
    assert code == 0, said
    assert said.startswith('install: .venv with python3.9\n')
    assert 'requirements/default/openmmlab.txt' in calls
    assert 'onedl/' not in calls


def test_a_stack_that_is_named_or_there_is_kept(make):
    code, said, _ = make('install', 'STACK=default', pythons=[(3, 12)])
    assert code != 0
    assert 'no Python for STACK=default' in said
    assert 'STACK=default takes 3.8 to 3.11, STACK=onedl 3.10 to' in said
    assert 'name it with PYTHON=' in said

    code, said, _ = make('install', STACK='onedl', pythons=[(3, 12), (3, 11)])
    assert code == 0, said
    assert said.startswith('install: .venv-onedl with python3.')
    code, said, _ = make('install')
    assert code == 0, said
    assert said.startswith('install: .venv with python3.11\n')


def test_no_python_at_all(make):
    code, said, _ = make('demo')
    assert code != 0
    assert 'no Python for STACK=default, with its venv module, among: python3' in said
    code, said, _ = make('help')
    assert code == 0, said
    assert said.startswith('make install ')


def test_a_python_that_is_named(make, tmp_path):
    code, said, _ = make('install', 'PYTHON=python3.12', pythons=[(3, 12), (3, 11)])
    assert code == 0, said
    assert 'going on with STACK=onedl\ninstall: .venv-onedl with python3.12' in said


# ------------------------------------------------- tools/install.sh, with the real pip

TAG = 'cp{0.major}{0.minor}-cp{0.major}{0.minor}-{1}'.format(
    sys.version_info, sysconfig.get_platform().replace('-', '_').replace('.', '_')
)
METADATA = 'Metadata-Version: 2.1\nName: {}\nVersion: {}\n'
BACKEND = """
import os, shutil

def build_wheel(folder, config_settings=None, metadata_directory=None):
    for n in (1, 2, 3):
        os.system(f"echo '[{n}/3] c++ -c file{n}.cpp'")
    if os.path.exists('broken'):
        raise RuntimeError('file3.cpp:1:2: fatal error: nothing works')
    shutil.copy('{name}', folder)
    return '{name}'
"""


def wheel(name, version, files, tag='py3-none-any'):
    """A wheel with these files: its file name, and its bytes."""
    info = f'{name}-{version}.dist-info'
    files = {
        **files,
        f'{info}/METADATA': METADATA.format(name, version),
        f'{info}/WHEEL': f'Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n',
    }
    files[f'{info}/RECORD'] = ''.join(f'{path},,\n' for path in files)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f'{name}-{version}-{tag}.whl', stream.getvalue()


def torch_module(version, cuda):
    return f"""
from types import SimpleNamespace
__version__ = {version!r}
version = SimpleNamespace(cuda={cuda!r})
"""


def torch_wheel(version, cuda):
    return wheel('torch', version, {'torch.py': torch_module(version, cuda)})


def mmcv_wheel(source, operators=''):
    files = {'mmcv/__init__.py': f'source = {source!r}', 'mmcv/_ext.py': operators}
    return wheel('mmcv', '2.1.0', files, TAG)


def mmcv_source(broken=False):
    """A source distribution that builds itself, and says so as ninja does."""
    name, content = mmcv_wheel('compiled')
    files = {
        'PKG-INFO': METADATA.format('mmcv', '2.1.0').encode(),
        'pyproject.toml': b'[build-system]\nrequires = []\n'
        b'build-backend = "backend"\nbackend-path = ["."]\n',
        'backend.py': BACKEND.replace('{name}', name).encode(),
        name: content,
    }
    if broken:
        files['broken'] = b''
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode='w:gz') as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(f'mmcv-2.1.0/{path}')
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return 'mmcv-2.1.0.tar.gz', stream.getvalue()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def site(tmp_path):
    """A server of files: its address, and how to add a page with links."""
    root = tmp_path / 'site'
    root.mkdir()
    server = http.server.ThreadingHTTPServer(
        ('127.0.0.1', 0), partial(Quiet, directory=str(root))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def page(path, *packages):
        folder = root / path
        folder.mkdir(parents=True)
        for name, content in packages:
            (folder / name).write_bytes(content)
        links = ''.join(f'<a href="{name}">{name}</a>' for name, _ in packages)
        (folder / 'index.html').write_text(f'<!DOCTYPE html><html>{links}</html>')

    page.url = f'http://127.0.0.1:{server.server_port}'
    yield page
    server.shutdown()
    server.server_close()


@pytest.fixture
def install(site, tmp_path):
    """Run the installer in an environment of pip alone, on an index of our own."""
    path = tmp_path / 'venv'
    venv.create(path)
    (packages,) = path.glob('lib/*/site-packages')
    (packages / 'pip').symlink_to(osp.dirname(pip.__file__))
    shutil.copytree(osp.join(ROOT, 'requirements'), tmp_path / 'requirements')
    # the Python that runs this test may be another stack's
    (tmp_path / 'requirements/default/python.txt').write_text('3.8 3.99\n')
    (tmp_path / 'tools').mkdir()
    shutil.copy(osp.join(ROOT, 'tools/install.sh'), tmp_path / 'tools')
    site('simple/torch', torch_wheel('2.1.2', '12.1'))
    site('simple/torchvision', wheel('torchvision', '0.16.2', {}))
    site('simple/numpy', wheel('numpy', '1.26.4', {}), wheel('numpy', '2.4.0', {}))

    def run(*steps, nvidia_smi='exit 1', terminal=False, **env):
        stub = tmp_path / 'nvidia-smi'
        stub.write_text(f'#!/bin/sh\n{nvidia_smi}\n')
        stub.chmod(0o755)
        env = dict(
            # of the package index no file in the user's or the machine's settings
            PIP_CONFIG_FILE=os.devnull,
            PIP_INDEX_URL=f'{site.url}/simple',
            PIP_CACHE_DIR=str(tmp_path / 'cache'),
            PIP_DISABLE_PIP_VERSION_CHECK='1',
            PATH=f'{tmp_path}:{os.environ["PATH"]}',
            **{'LUMINET_TORCH_INDEX': '', 'LUMINET_MMCV_INDEX': '', **env},
        )
        env = {name: value for name, value in env.items() if value is not None}
        read, write = pty.openpty() if terminal else os.pipe()
        process = subprocess.Popen(
            [tmp_path / 'tools/install.sh', path / 'bin/python', *steps],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=write,
        )
        os.close(write)
        said = b''
        try:
            while True:
                part = os.read(read, 1 << 16)
                if not part:
                    break
                said += part
        except OSError:
            pass  # how a terminal says that it was closed
        os.close(read)
        return process.wait(), said.decode()

    def imported(what):
        return subprocess.check_output(
            [path / 'bin/python', '-c', f'import mmcv, torch; print({what})'], text=True
        ).strip()

    run.imported = imported
    run.packages = packages
    run.log = path / '.luminet_mm/mmcv.log'
    return run


def test_torch_of_a_machine_without_a_gpu(install, site):
    site('cpu/torch', torch_wheel('2.1.2+cpu', None))
    code, said = install('torch', LUMINET_TORCH_INDEX=f'{site.url}/cpu')
    assert f'torch 2.1.2+cpu, for which {site.url}/cpu was asked first\n' in said
    assert code == 0, said
    code, said = install('torch', LUMINET_TORCH_INDEX=f'{site.url}/cpu')
    assert 'nothing to do' in said


def test_torch_where_nothing_answers(install):
    # it takes the call, and never says a word: who waits for one hangs
    with socket.create_server(('127.0.0.1', 0)) as server:
        address = f'http://127.0.0.1:{server.getsockname()[1]}'
        code, said = install('torch', LUMINET_TORCH_INDEX=address)
    assert code == 0, said
    assert f'torch 2.1.2 from the package index: nothing answers at {address}\n' in said


def test_torch_of_a_machine_with_a_gpu(install):
    # the publisher's own address would not answer here, and is not asked
    code, said = install(
        'torch', nvidia_smi='echo GPU 0: one', LUMINET_TORCH_INDEX=None
    )
    assert code == 0, said
    assert 'torch 2.1.2 from the package index: nvidia-smi lists a GPU\n' in said


@pytest.fixture
def with_torch(install):
    (install.packages / 'torch.py').write_text(torch_module('2.1.2', '12.1'))
    return install


def test_mmcv_from_its_publisher(with_torch, site, tmp_path):
    site('mmcv/cu121', mmcv_wheel('publisher'))
    name, content = mmcv_wheel('find-links')
    (tmp_path / 'wheels').mkdir()
    (tmp_path / 'wheels' / name).write_bytes(content)
    code, said = with_torch(
        'mmcv',
        LUMINET_MMCV_INDEX=site.url + '/mmcv/{device}/index.html',
        PIP_FIND_LINKS=str(tmp_path / 'wheels'),
    )
    assert code == 0, said
    assert f'a ready build from {site.url}/mmcv/cu121/index.html\n' in said
    assert with_torch.imported('mmcv.source') == 'publisher'


def test_mmcv_from_find_links(with_torch, site, tmp_path):
    """Where the publisher has none that fits, or none whose operators load."""
    site('mmcv', mmcv_wheel('publisher', 'raise ImportError("undefined symbol")'))
    name, content = mmcv_wheel('find-links')
    (tmp_path / 'wheels').mkdir()
    (tmp_path / 'wheels' / name).write_bytes(content)
    code, said = with_torch(
        'mmcv',
        LUMINET_MMCV_INDEX=f'{site.url}/mmcv/index.html',
        PIP_FIND_LINKS=str(tmp_path / 'wheels'),
    )
    assert code == 0, said
    assert f"a wheel's operators do not load, see {with_torch.log}" in said
    assert 'undefined symbol' in with_torch.log.read_text()
    assert 'a ready build from find-links or the package index\n' in said
    assert with_torch.imported('mmcv.source') == 'find-links'


def test_mmcv_is_compiled_at_last(with_torch, site):
    site('simple/mmcv', mmcv_source())
    nowhere = 'http://127.0.0.1:9/{device}'
    code, said = with_torch('mmcv', LUMINET_MMCV_INDEX=nowhere, terminal=True)
    assert code == 0, said
    assert 'nothing answers at http://127.0.0.1:9/cu121' in said
    assert 'no ready build for this Python and torch' in said
    assert re.search(r'\r  3 of 3 objects, \d+ s\r\n', said)
    assert with_torch.imported('mmcv.source') == 'compiled'
    assert '[2/3] c++ -c file2.cpp' in with_torch.log.read_text()


def test_mmcv_that_does_not_compile(with_torch, site):
    site('simple/mmcv', mmcv_source(broken=True))
    code, said = with_torch('mmcv')
    assert code != 0
    assert '  LUMINET_MMCV_INDEX is empty, so no publisher is asked\n' in said
    assert re.search(r'(?m)^  3 of 3 objects, \d+ s$', said)
    assert 'fatal error: nothing works' in said
    assert said.endswith(
        f'mmcv could not be compiled, the whole output is in {with_torch.log}\n'
    )
    assert not with_torch.log.with_name('mmcv').exists(), 'stamped as done'


def test_addresses_go_with_the_torch_of_their_stack():
    for stack in ('default', 'onedl'):
        folder = osp.join(ROOT, 'requirements', stack)
        with open(osp.join(folder, 'torch.txt')) as file:
            release = re.search(r'^torch==(\d+\.\d+)\.', file.read(), re.MULTILINE)[1]
        with open(osp.join(folder, 'mmcv_index.txt')) as file:
            address = file.read().splitlines()[-1]
        assert '{device}' in address
        (built,) = re.findall(r'torch([\d.]+)', address)
        assert built.replace('.', '') == release.replace('.', '') + '0'
