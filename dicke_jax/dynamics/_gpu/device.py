"""A GPU that compiles and launches the kernel: whether there is one, and a switch."""

import functools
import os
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..._door import checked
from .cuda import Cuda, CudaError, Function

SOURCE = Path(__file__).parent / "ensemble.cu"
VARIABLE = "DICKE_JAX_GPU_KERNEL"
Defines = dict[str, Any]

_switch = {"on": os.environ.get(VARIABLE, "1").lower() not in ("0", "false", "off")}


@checked
def use_gpu_kernel(on: bool) -> None:
    """Turn the kernel on or off in this process.

    On an NVIDIA GPU `solve_ensemble` runs every row from its first step to its last in one launch of a kernel of this
    package, where that serves what is asked for; `.route` of its result says which way was taken. Without it results
    are the same within tolerances, and ensembles run some ten times slower. The environment variable
    DICKE_JAX_GPU_KERNEL=0 turns it off as well.

    **Arguments**

    - `on`: False to run without it from now on, True to run by it again.

    **Raises** ValueError for what is neither True nor False.

    **Example**

        >>> dj.use_gpu_kernel(True)  # as it is from the start
    """
    if not isinstance(on, bool):
        raise ValueError(f"on must be True or False; got {on!r}.")
    _switch["on"] = on


class Gpu:
    """What the kernel runs on: each set of definitions is compiled once, whether it compiles or not."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.kernels: dict[tuple[str, ...], Function | CudaError] = {}
        self.seconds = 0.0  # that kernels took, by the device's clock

    @property
    def processors(self) -> int:
        return self.cuda.about()["processors"]

    def kernel(self, defines: Defines) -> Function:
        options = tuple(f"-D{name}={value}" for name, value in sorted(defines.items()))
        if options not in self.kernels:
            try:
                self.kernels[options] = self.compiled(options)
            except CudaError as error:
                self.kernels[options] = error
        if isinstance(kernel := self.kernels[options], CudaError):
            raise kernel
        return kernel

    def compiled(self, options: tuple[str, ...]) -> Function:
        # ptxas tells of registers and spills by -v
        how = [f"--gpu-architecture={self.cuda.arch()}", "--std=c++17", "--ptxas-options=-v", *options]
        code, log = self.cuda.compile(SOURCE.read_text(), how)
        return self.cuda.load(code, "ensemble", log)

    def to_host(self, array: np.ndarray, pointer: int) -> np.ndarray:
        return self.cuda.to_host(array, pointer)

    def launch(self, kernel: Function, grid: int, block: int, run: Any) -> None:
        self.seconds += kernel.launch(grid, block, run)


def gpu_of(device: Any) -> Gpu | str:
    """The GPU that is JAX's `device`, or why there is none."""
    if not _switch["on"]:
        return f"turned off by {VARIABLE} or use_gpu_kernel"
    if device.platform not in ("gpu", "cuda"):
        return f"on {device.platform} there is none"
    if "cuda" not in device.client.platform_version.lower():
        return "not an NVIDIA GPU"
    return _opened(device.local_hardware_id)


@functools.cache
def _opened(number: int) -> Gpu | str:
    try:
        return Gpu(Cuda(number))
    except (CudaError, OSError, AttributeError) as error:
        warnings.warn(f"solve_ensemble runs without the GPU kernel: {error}", RuntimeWarning, stacklevel=2)
        return str(error)


def gpu_kernel_state() -> str:
    """Whether ensembles run by the kernel, and if not why."""
    found = gpu_of(jax.local_devices()[0])
    return f"off ({found})" if isinstance(found, str) else "on"
