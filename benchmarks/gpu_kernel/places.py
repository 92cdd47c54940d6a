"""Where the kernel runs: on a device, or on a CPU whose fibres stand for its threads."""

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from .cuda import LOCAL_BYTES, REGISTERS, SHARED_BYTES, Cuda, CudaError, Function

HERE = Path(__file__).parent
SOURCE = HERE / "ensemble.cu"
Defines = dict[str, Any]


class Kernel(NamedTuple):
    """A kernel that is ready to run, and what its compiler said."""

    function: Function
    code: bytes
    log: str
    seconds: float

    @property
    def cuda(self) -> Cuda:
        return self.function.cuda

    def about(self, block: int) -> dict[str, Any]:
        """Registers, bytes of local memory (where registers spill to) a thread, and blocks that a processor holds."""
        names = dict(registers=REGISTERS, local_bytes=LOCAL_BYTES, shared_bytes=SHARED_BYTES)
        found = {name: self.function.attribute(which) for name, which in names.items()}
        return found | dict(blocks_each=self.function.blocks_each(block), compile_s=self.seconds, log=self.log[-2000:])


def options_of(defines: Defines) -> list[str]:
    return [f"-D{name}={value}" for name, value in sorted(defines.items())]


class Gpu:
    """The first NVIDIA GPU."""

    platform = "gpu"

    def __init__(self, cuda: Cuda | None = None) -> None:
        self.cuda = Cuda() if cuda is None else cuda
        self.codes: dict[tuple[str, ...], tuple[bytes, str, float]] = {}
        self.kernels: dict[tuple[str, ...], Kernel] = {}

    def about(self) -> dict[str, Any]:
        return self.cuda.about()

    def prepare(self, several: list[Defines]) -> None:
        """Compile for several sets of definitions at once, on as many cores; what fails says so when it is used."""

        def code(defines: Defines) -> None:
            with suppress(CudaError):
                self._code(tuple(options_of(defines)))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(code, several))

    def _code(self, options: tuple[str, ...]) -> tuple[bytes, str, float]:
        if options not in self.codes:
            begin = time.perf_counter()
            # ptxas tells of registers and spills by -v
            how = [f"--gpu-architecture={self.cuda.arch()}", "--std=c++17", "--ptxas-options=-v", *options]
            code, log = self.cuda.compile(SOURCE.read_text(), how)
            self.codes[options] = code, log, time.perf_counter() - begin
        return self.codes[options]

    def kernel(self, defines: Defines, name: str = "ensemble") -> Kernel:
        options = tuple(options_of(defines))
        if (name, *options) not in self.kernels:
            code, log, seconds = self._code(options)
            self.kernels[name, *options] = Kernel(self.cuda.load(code, name), code, log, seconds)
        return self.kernels[name, *options]


class Emulator:
    """A CPU: every set of definitions becomes a library by itself, which is its own driver and compiler."""

    platform = "cpu"

    def __init__(self, folder: Path | None = None, compiler: str | None = None, sources: Path = HERE) -> None:
        self.sources = [sources / "emulated.cpp", sources / SOURCE.name]
        self.compiler = compiler or shutil.which("g++") or shutil.which("clang++")
        if self.compiler is None:
            raise CudaError("no C++ compiler: neither g++ nor clang++ is installed")
        self.folder = Path(tempfile.mkdtemp(prefix="gpu_kernel_")) if folder is None else folder
        self.places: dict[str, Gpu] = {}

    def about(self) -> dict[str, Any]:
        return dict(device="emulated", processors=2, clock_khz=1_000_000, capability="0.0")

    def compiled(self, defines: Defines) -> str:
        options = options_of(defines)
        text = "".join([*options, *(source.read_text() for source in self.sources)])
        out = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.so"
        if not out.exists():
            how = [self.compiler, "-O1", "-std=c++17", "-shared", "-fPIC", "-w", *options, self.sources[0], "-o", out]
            done = subprocess.run(list(map(str, how)), capture_output=True, text=True)
            if done.returncode:
                raise CudaError(done.stderr[-2000:])
        return str(out)

    def prepare(self, several: list[Defines]) -> None:
        for defines in several:
            self.compiled(defines)

    def kernel(self, defines: Defines, name: str = "ensemble") -> Kernel:
        library = self.compiled(defines)
        if library not in self.places:
            self.places[library] = Gpu(Cuda(library, library))
        return self.places[library].kernel(defines, name)

    def allocations(self) -> int:
        """How much memory nobody has given back."""
        return sum(ctypes.CDLL(library).emulated_allocations() for library in self.places)
