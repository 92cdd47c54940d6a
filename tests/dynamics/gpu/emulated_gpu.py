"""A CPU whose fibres stand for a GPU's threads: the same kernel, the same host code, and no device."""

import ctypes
import hashlib
import shutil
import subprocess
from pathlib import Path

from dicke_jax.dynamics._gpu.cuda import Cuda, CudaError, Function
from dicke_jax.dynamics._gpu.device import SOURCE, Gpu

EMULATION = Path(__file__).parent / "emulated.cpp"


def compiler() -> str | None:
    return shutil.which("g++") or shutil.which("clang++")


class Emulator(Gpu):
    """Every set of definitions becomes a library by itself, which is its own driver and compiler."""

    processors = 2

    def __init__(self, folder: Path, source: Path = SOURCE) -> None:
        self.folder, self.source, self.kernels, self.seconds = folder, source, {}, 0.0

    def to_host(self, array, pointer):
        ctypes.memmove(array.ctypes.data, pointer, array.nbytes)
        return array

    def compiled(self, options: tuple[str, ...]) -> Function:
        library = self._library(options)
        return Cuda(0, library, library).load(b"emulated\0", "ensemble")

    def _library(self, options: tuple[str, ...]) -> str:
        out = self.folder / f"{hashlib.sha256(''.join(options).encode()).hexdigest()[:16]}.so"
        if not out.exists():
            how = [compiler(), "-O1", "-std=c++17", "-shared", "-fPIC", "-w", f'-DSOURCE="{self.source}"', *options]
            done = subprocess.run([*how, str(EMULATION), "-o", str(out)], capture_output=True, text=True)
            if done.returncode:
                raise CudaError(done.stderr[-2000:])
        ctypes.CDLL(str(out))
        return str(out)
