"""What the benchmarks run on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

import dicke_jax as dj

from .sizes import Size

PROGRAMS = ("jax", "jaxlib", "diffrax", "equinox", "numpy", "scipy", "heyoka", "torch", "torchdiffeq", "gradsolve")


def machine(size: Size) -> dict[str, Any]:
    """Device and versions."""
    versions = {"python": platform.python_version(), "dicke-jax": dj.__version__}
    for name in PROGRAMS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    if flags := os.environ.get("XLA_FLAGS"):
        versions["XLA_FLAGS"] = flags
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
        vectors = [name for name in ("avx512f", "avx2") if any(name in line for line in lines)][:1]
    except (OSError, StopIteration):
        cpu, vectors = platform.processor(), []
    devices = [device.device_kind for device in jax.local_devices()]
    return dict(platform=jax.default_backend(), devices=devices, cpu=" ".join([cpu, *vectors]), versions=versions)
