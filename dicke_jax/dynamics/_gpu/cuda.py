"""NVRTC and the CUDA driver by ctypes: all that one kernel needs, from libraries that come with JAX for CUDA.

Memory is JAX's. What is here compiles, loads and launches.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

PROCESSORS, CLOCK_KHZ, CAPABILITY, MINOR = 16, 13, 75, 76  # CUdevice_attribute
SHARED_BYTES, LOCAL_BYTES, REGISTERS = 1, 3, 4  # CUfunction_attribute
SIZE = ctypes.c_size_t


class CudaError(RuntimeError):
    """What NVRTC or the driver said."""


class Cuda:
    """A device's primary context, which is JAX's, too."""

    def __init__(self, number: int = 0, nvrtc: str | None = None, driver: str | None = None) -> None:
        self.nvrtc_path = nvrtc or nvrtc_library()
        _load_builtins_of(self.nvrtc_path)
        self.nvrtc = ctypes.CDLL(self.nvrtc_path)
        self.driver = ctypes.CDLL(driver or driver_library())
        self.nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        self._call("cuInit", ctypes.c_uint(0))
        self.device, self.context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(self.device), ctypes.c_int(number))
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), self.device)
        self.enter()

    def enter(self) -> None:
        """The context is the current one of the thread that calls."""
        self._call("cuCtxSetCurrent", self.context)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self.driver, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self.driver.cuGetErrorString(ctypes.c_int(code), ctypes.byref(text))
            raise CudaError(f"{name}: error {code}, {(text.value or b'unknown').decode()}")

    def _nvrtc(self, name: str, *arguments: Any) -> None:
        code = getattr(self.nvrtc, name)(*arguments)
        if code:
            raise CudaError(f"{name}: {self.nvrtc.nvrtcGetErrorString(ctypes.c_int(code)).decode()}")

    def attribute(self, which: int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(which), self.device)
        return value.value

    def about(self) -> dict[str, Any]:
        name, driver = ctypes.create_string_buffer(256), ctypes.c_int()
        self._call("cuDeviceGetName", name, ctypes.c_int(256), self.device)
        self._call("cuDriverGetVersion", ctypes.byref(driver))
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._nvrtc("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return dict(
            device=name.value.decode(),
            processors=self.attribute(PROCESSORS),
            clock_khz=self.attribute(CLOCK_KHZ),
            capability=f"{self.attribute(CAPABILITY)}.{self.attribute(MINOR)}",
            driver=driver.value,
            nvrtc=f"{major.value}.{minor.value}",
        )

    def arch(self) -> str:
        return f"sm_{self.attribute(CAPABILITY)}{self.attribute(MINOR)}"

    def compile(self, source: str, options: list[str]) -> tuple[bytes, str]:
        """Machine code, and what the compiler said."""
        program = ctypes.c_void_p()
        self._nvrtc("nvrtcCreateProgram", ctypes.byref(program), source.encode(), b"ensemble.cu", 0, None, None)
        try:
            given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            failed = self.nvrtc.nvrtcCompileProgram(program, ctypes.c_int(len(options)), given)
            log = self._bytes("nvrtcGetProgramLog", program).decode(errors="replace").rstrip("\0\n ")
            if failed:
                raise CudaError(f"{self.nvrtc.nvrtcGetErrorString(ctypes.c_int(failed)).decode()}: {log}")
            return self._bytes("nvrtcGetCUBIN", program), log
        finally:
            self._nvrtc("nvrtcDestroyProgram", ctypes.byref(program))

    def _bytes(self, name: str, program: ctypes.c_void_p) -> bytes:
        size = SIZE()
        self._nvrtc(f"{name}Size", program, ctypes.byref(size))
        room = ctypes.create_string_buffer(max(size.value, 1))
        self._nvrtc(name, program, room)
        return room.raw[: size.value]

    def load(self, code: bytes, name: str, log: str = "") -> "Function":
        self.enter()
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(code))
        self._call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        return Function(self, function, code, log)

    def to_host(self, array: np.ndarray, pointer: int) -> np.ndarray:
        """Fill an array with what lies there: JAX's own copies may not be written to, and take longer."""
        self.enter()
        self._call("cuMemcpyDtoH_v2", ctypes.c_void_p(array.ctypes.data), ctypes.c_uint64(pointer), SIZE(array.nbytes))
        return array


class Function:
    """A kernel, its machine code, and what its compiler said."""

    def __init__(self, cuda: Cuda, function: ctypes.c_void_p, code: bytes, log: str) -> None:
        self.cuda, self.function, self.code, self.log = cuda, function, code, log

    def attribute(self, which: int) -> int:
        value = ctypes.c_int()
        self.cuda._call("cuFuncGetAttribute", ctypes.byref(value), ctypes.c_int(which), self.function)
        return value.value

    def blocks_each(self, block: int) -> int:
        """Blocks of so many threads that a processor holds at once."""
        blocks = ctypes.c_int()
        name = "cuOccupancyMaxActiveBlocksPerMultiprocessor"
        self.cuda._call(name, ctypes.byref(blocks), self.function, ctypes.c_int(block), SIZE(0))
        return max(blocks.value, 1)

    def launch(self, grid: int, block: int, *arguments: Any) -> float:
        """Run it to its end; arguments are ctypes' own numbers and structures. Seconds by the device's clock."""
        self.cuda.enter()
        given = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(one) for one in arguments))
        sizes = (ctypes.c_uint(n) for n in (grid, 1, 1, block, 1, 1, 0))
        call = self.cuda._call
        with _events(self.cuda) as (start, stop):
            call("cuEventRecord", start, None)
            call("cuLaunchKernel", self.function, *sizes, None, given, None)
            call("cuEventRecord", stop, None)
            call("cuEventSynchronize", stop)
            ms = ctypes.c_float()
            call("cuEventElapsedTime", ctypes.byref(ms), start, stop)
        return ms.value / 1e3


@contextmanager
def _events(cuda: Cuda) -> Iterator[tuple[ctypes.c_void_p, ctypes.c_void_p]]:
    events = ctypes.c_void_p(), ctypes.c_void_p()
    for event in events:
        cuda._call("cuEventCreate", ctypes.byref(event), ctypes.c_uint(0))
    try:
        yield events
    finally:
        for event in events:
            cuda.driver.cuEventDestroy_v2(event)


def driver_library() -> str:
    """The driver's own, which comes with it and not with a wheel."""
    places = ("libcuda.so.1", "libcuda.so", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib64/libcuda.so.1")
    for place in places:
        try:
            ctypes.CDLL(place)
        except OSError:
            continue
        return place
    raise CudaError(f"no CUDA driver: none of {', '.join(places)} can be loaded")


def nvrtc_library() -> str:
    """NVRTC of the wheels that come with JAX for CUDA, or of a toolkit: the newest of the first place that has one."""
    roots = [Path(path) / "nvidia" for path in sys.path if path] + sorted(
        Path("/usr/local").glob("cuda*"), reverse=True
    )
    for root in roots:
        found = [path for path in root.glob("**/libnvrtc.so*") if ".alt." not in path.name] if root.is_dir() else []
        if found:
            return str(max(found, key=_version))
    for name in ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    raise CudaError("NVRTC is not installed: no libnvrtc.so among the nvidia wheels of this Python, nor a CUDA toolkit")


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in path.name.partition(".so")[2].split(".") if part.isdigit())


def _load_builtins_of(nvrtc: str) -> None:
    """Beside NVRTC lies a library that it loads by its name alone: loaded already, it is found."""
    for path in sorted(Path(nvrtc).parent.glob("libnvrtc-builtins.so*")) if "/" in nvrtc else []:
        with suppress(OSError):
            ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
