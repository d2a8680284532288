"""What setup.cfg cannot say: how to compile the operator for CPUs.

It is left out where torch is not there to compile against (as in an isolated build),
and where compiling fails: luminet_mm computes the same without it.
"""

import sys

from setuptools import setup

try:
    import torch
    from torch.utils.cpp_extension import BuildExtension, CppExtension
except ImportError:
    compiled = {}
else:
    # torch brings the OpenMP that the operator's threads come from, so it is compiled
    # for OpenMP but not linked to another one
    openmp = ['-fopenmp'] if sys.platform == 'linux' else []
    # one for each release of torch: environments may share a checkout
    release = '_'.join(torch.__version__.split('.')[:2])
    compiled = dict(
        ext_modules=[
            CppExtension(
                f'luminet_mm._C_torch{release}',
                ['luminet_mm/losses/csrc/luminet_loss.cpp'],
                # comparisons vectorise without AVX-512 only if they need not trap
                extra_compile_args=['-O3', '-fno-trapping-math', *openmp],
                optional=True,
            )
        ],
        cmdclass=dict(build_ext=BuildExtension.with_options(no_python_abi_suffix=True)),
    )

setup(**compiled)
