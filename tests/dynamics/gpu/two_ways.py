"""The same ensemble in one launch of the kernel and by JAX, on a GPU or on what stands for one."""

import equinox as eqx
import gpu_cases as cases
import jax
import pytest
from emulated_gpu import compiler

import dicke_jax as dj
from dicke_jax.dynamics._gpu import chunks

ON_GPU = jax.default_backend() == "gpu"
can_run = pytest.mark.skipif(
    not ON_GPU and compiler() is None, reason="no C++ compiler (g++ or clang++) to emulate a GPU with"
)
ROWS, END = 7, 4.0  # rows that do not fill the last warp


def by_kernel(gpu, *arguments, **options):
    with pytest.MonkeyPatch.context() as patch:
        if gpu is not None:
            patch.setattr(chunks, "gpu_of", lambda device: gpu)
        found = dj.solve_ensemble(*arguments, **options)
    assert found.route == "one launch"
    return found


def by_jax(*arguments, **options):
    dj.use_gpu_kernel(False)
    try:
        found = dj.solve_ensemble(*arguments, **options)
    finally:
        dj.use_gpu_kernel(True)
    assert found.route.startswith("JAX")
    return found


def both(gpu, *arguments, **options):
    return by_kernel(gpu, *arguments, **options), by_jax(*arguments, **options)


def find(name, rows=ROWS, end=END):
    return next(case for case in cases.all_cases(rows, end) if case.name == name)


def row_of(tree, row):
    return jax.tree.map(lambda x: x[row] if eqx.is_array(x) else x, tree)
