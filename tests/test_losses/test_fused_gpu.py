"""The kernels for GPUs, which a CPU interprets and compiles."""

import os
import os.path as osp
import re
import subprocess
import sys

import pytest

FOLDER = osp.dirname(__file__)
TRITON = osp.join(sys.prefix, '.luminet_mm', 'triton')  # see tools/install.sh

COMPILE = """
import inspect
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from luminet_mm.losses.fused import kernels, launches

TYPES = dict(N='i32', C='i32', grad_stride='i32', labels='*i64')
NUMBERS = ('eps', 'tau', 'factor', 'alpha', 'beta')

def compiles(kernel, num_warps, **constants):
    signature = {
        name: TYPES.get(name, 'fp32' if name in NUMBERS else '*fp32')
        for name in inspect.signature(kernel.fn).parameters
    }
    signature.update(dict.fromkeys(constants, 'constexpr'))
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    target = GPUTarget('cuda', 80, 32)
    code = compile(source, target=target, options=dict(num_warps=num_warps))
    assert code.asm['cubin']
    print(kernel.__name__)

compiles(kernels.column_moments, **launches.COLUMNS)
compiles(kernels.perception_gradient, **launches.COLUMNS)
for C in (81, 16384):
    tile = launches._rows(512, C)[1]
    compiles(kernels.row_divergences, **tile, STANDARDISED=True)
    compiles(kernels.row_divergences, **tile, STANDARDISED=False, moments=None)
    compiles(kernels.decoupled_divergences, **tile)
"""


def run(*arguments, on_gpu, **env):
    if not on_gpu:
        assert osp.isdir(TRITON), '`make install` puts a Triton there, for Linux'
        env['PYTHONPATH'] = TRITON
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize('on_gpu', [False, pytest.param(True, marks=pytest.mark.gpu)])
def test_they_equal_the_formulas(on_gpu):
    env = {} if on_gpu else dict(TRITON_INTERPRET='1')
    tests = osp.join(FOLDER, 'on_triton.py')
    options = ['-q', '-p', 'no:cacheprovider', '-p', 'no:xdist']
    printed = run('-m', 'pytest', tests, *options, on_gpu=on_gpu, **env)
    passed, *others = re.findall(r'(\d+) (\w+)', printed.splitlines()[-1])
    assert int(passed[0]) > 50
    assert not {word for _, word in others} & {'failed', 'skipped', 'error'}


def test_they_compile(tmp_path):
    """With nothing that was compiled before."""
    printed = run('-c', COMPILE, on_gpu=False, TRITON_CACHE_DIR=str(tmp_path))
    assert set(printed.split()) == {
        'column_moments',
        'row_divergences',
        'perception_gradient',
        'decoupled_divergences',
    }
