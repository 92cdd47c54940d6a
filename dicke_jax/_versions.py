"""What runs here: versions, devices, precision and switches, for a report or a note in a notebook."""

import platform
from importlib.metadata import version

import jax

from ._summary import summary
from .dynamics._gpu import gpu_kernel_state
from .dynamics._loop import kernel_state

PACKAGES = ("dicke-jax", "jax", "jaxlib", "diffrax", "equinox", "optimistix", "lineax", "numpy")


def show_versions() -> None:
    """Print what a bug report should hold: versions, platform, devices, precision, and the kernels' switches.

    **Example**

        >>> dj.show_versions()  # doctest: +ELLIPSIS
        dicke_jax
          dicke-jax   ...
          jax         ...
        ...
          CPU kernel  ...
          GPU kernel  ...
    """
    rows = [
        *((name, version(name)) for name in PACKAGES),
        ("python", platform.python_version()),
        ("platform", platform.platform()),
        ("devices", ", ".join(f"{device.platform} {device.device_kind}" for device in jax.devices())),
        ("precision", "float64" if jax.config.read("jax_enable_x64") else "float32 (jax_enable_x64 is off)"),
        ("CPU kernel", kernel_state()),
        ("GPU kernel", gpu_kernel_state()),
    ]
    print(summary("dicke_jax", rows))
