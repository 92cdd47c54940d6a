"""JAX as a command wants it: precision, one device for each core, and compiled programs that are kept."""

import atexit
import contextlib
import gc
import hashlib
import os
import platform
from pathlib import Path
from typing import Any

from ..dynamics._loop import compiler_flags


def set_up_jax(precision: str, own_process: bool) -> None:
    """Before JAX is first used. Precision alone, where the process is someone else's."""
    import jax

    settings: Any = jax.config
    settings.update("jax_enable_x64", precision == "float64")
    if own_process:
        # JAX traces into some million objects that live on: to look through them for cycles, as often as Python does
        # and once more at the end, took a fifth of a short command's time
        gc.set_threshold(100_000, 20, 20)
        atexit.register(gc.freeze)
        flags = os.environ.get("XLA_FLAGS", "")
        more = [flag for flag in compiler_flags() if flag.partition("=")[0] not in flags]
        os.environ["XLA_FLAGS"] = " ".join([flags, *more]).strip()
        if settings.jax_num_cpu_devices < 1 and "device_count" not in flags:
            settings.update("jax_num_cpu_devices", os.cpu_count() or 1)
        keep_programs(settings)
    try:
        jax.devices()
    except RuntimeError as error:
        raise ValueError(f"JAX must find a device; got {str(error).splitlines()[0]}") from None


def keep_programs(settings: Any) -> None:
    """Every compiled program is written to a folder, however small: a second run finds what the first compiled."""
    if settings.jax_compilation_cache_dir is None:
        # without a home, or a folder to write to, a command compiles every time
        with contextlib.suppress(OSError, RuntimeError):
            folder = compilation_cache()
            folder.mkdir(parents=True, exist_ok=True)
            settings.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        settings.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        settings.update("jax_persistent_cache_min_entry_size_bytes", -1)


def compilation_cache() -> Path:
    """Where compiled programs stay between commands: a folder for each kind of processor, whose instructions they use.

    A home folder shared by different machines would otherwise offer each the programs of the other.
    """
    caches, processor = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"), platform.node()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line for line in lines if line.startswith(("flags", "Features")))
    return caches / "dicke-jax" / hashlib.sha256(f"{platform.machine()} {processor}".encode()).hexdigest()[:16]
